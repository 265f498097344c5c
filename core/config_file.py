"""The configuration file: settings that a person keeps, below the environment.

TOML, one setting a line, named as in the environment without ``OVERSTORY_`` and in small letters::

    base_url = "https://api.openai.com/v1"
    model = "gpt-5-mini"
"""

from __future__ import annotations

import os
import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import platformdirs
from pydantic import AliasChoices
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from core.errors import WrongUsage

VARIABLE = "OVERSTORY_CONFIG"
"""Names another file. It is not a setting, because the settings are read from it."""


def config_path() -> Path:
    """Where the file is: in the platform's folder for configurations, or where VARIABLE says."""
    given = os.environ.get(VARIABLE)
    if given:
        return Path(given).expanduser().absolute()
    return Path(platformdirs.user_config_dir("overstory", appauthor=False)) / "config.toml"


def variables_of(settings: type[BaseSettings], name: str) -> tuple[str, ...]:
    """The environment variables of a setting; the first that is set counts."""
    alias = settings.model_fields[name].validation_alias
    if isinstance(alias, AliasChoices):
        return tuple(str(choice) for choice in alias.choices)
    return (f"{settings.model_config['env_prefix']}{name.upper()}",)


class ConfigFile(PydanticBaseSettingsSource):
    """The settings in the file that no variable of ours sets. A key in the file wins over
    STEPFUN_API_KEY, which other programs read too: it must not go to another provider.

    Raises WrongUsage for a file that cannot be read, is not TOML, or names what is not a setting.
    """

    def __call__(self) -> dict[str, Any]:
        present = {name.upper() for name, value in os.environ.items() if value}
        values = {}
        for name, value in read_config(self.settings_cls).items():
            variable, *others = variables_of(self.settings_cls, name)
            if variable not in present:
                values[variable if others else name] = value
        return values

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return self().get(field_name), field_name, False


def read_config(settings: type[BaseSettings], path: Path | None = None) -> dict[str, Any]:
    """What the file says; empty if there is none. Raises WrongUsage as ConfigFile does."""
    path = path or config_path()
    try:
        path.stat()
    except OSError:  # it is not there, or in a folder that only somebody else may enter
        return {}
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise WrongUsage(f"{path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise WrongUsage(f"{path} is not valid TOML: {error}") from None
    for name in values:
        if name not in settings.model_fields:
            near = get_close_matches(name.lower(), settings.model_fields, 1)
            mean = f", did you mean {near[0]!r}?" if near else ""
            raise WrongUsage(f"{path}: {name!r} is not a setting{mean}")
    return values
