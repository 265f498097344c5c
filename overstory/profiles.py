"""Profiles: settings under a name, which ``overstory tune`` writes and ``--profile NAME`` takes.

A profile is a small TOML file with the options of ``Profile``. It is in the state folder, as
``profiles/NAME.toml``; a name with a slash or ``.toml`` at its end is a path.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from clients import private_files
from core.catalog.tokens import JobDetail
from core.errors import WrongUsage

FOLDER, SUFFIX = "profiles", ".toml"
SHOWN = 10
ModelName = Annotated[str, StringConstraints(min_length=1, max_length=255)]
_NAME = re.compile(r"\w[\w.-]{0,63}")


class Profile(BaseModel):
    """The options of a profile, with the meanings that they have on the command line."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    pack: Annotated[int, Field(ge=1, strict=True)] | None = None
    detail: JobDetail | None = None
    model: ModelName | None = None
    second_model: ModelName | None = None
    second_look: Annotated[float, Field(gt=0, le=1)] | None = None

    @property
    def options(self) -> dict[str, Any]:
        """Those that are given, by name."""
        return self.model_dump(exclude_none=True)


def profile_path(home: Path, name: str) -> Path:
    """Where the profile ``name`` is. Raises WrongUsage for an invalid name."""
    if "/" in name or name.endswith(SUFFIX):
        return Path(name).expanduser()
    if not _NAME.fullmatch(name):
        raise WrongUsage(
            f"--profile: {name!r} is not a name: write letters, digits, '.', '_' and '-', or the"
            f" path of a file that ends in {SUFFIX}"
        )
    return home / FOLDER / f"{name}{SUFFIX}"


def write_profile(home: Path, name: str, profile: Profile, origin: str = "") -> Path:
    """Write a profile for its owner alone, in place of one with the same name; returns its path.
    ``origin``: where it is from, for people; it becomes comments.

    Raises WrongUsage for a wrong name and OSError where it cannot be written.
    """
    path = profile_path(home, name)
    comments = [f"# {line}".rstrip() for line in origin.splitlines()]
    # JSON strings of these values are TOML strings
    values = [f"{option} = {json.dumps(value)}" for option, value in profile.options.items()]
    path.parent.mkdir(parents=True, exist_ok=True)
    private_files.write(path, "\n".join([*comments, *values, ""]))
    return path


def read_profile(home: Path, name: str) -> Profile:
    """The profile ``name``. Raises WrongUsage, which says what to do, where there is none and for
    names and values that are wrong."""
    path = profile_path(home, name)
    try:
        return Profile(**tomllib.loads(path.read_text("utf-8")))
    except FileNotFoundError:
        raise WrongUsage(_missing(home, name)) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise WrongUsage(f"--profile: {path} cannot be read: {error}") from None
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        known = ", ".join(Profile.model_fields)
        raise WrongUsage(
            f"--profile: {path}: {'; '.join(lines)}. A profile has {known}, and nothing else"
        ) from None


def filled(home: Path, options: Mapping[str, Any]) -> dict[str, Any]:
    """``options`` of a command, without ``profile`` and with its values for what is not given.
    Raises WrongUsage as ``read_profile`` does."""
    rest = {option: value for option, value in options.items() if option != "profile"}
    name = options.get("profile")
    if name is None:
        return rest
    return read_profile(home, name).options | {n: v for n, v in rest.items() if v is not None}


def _missing(home: Path, name: str) -> str:
    names = sorted(path.stem for path in (home / FOLDER).glob(f"*{SUFFIX}"))
    near = get_close_matches(name, names, 1)
    if near:
        return f"--profile: there is no profile {name!r}. Did you mean {near[0]!r}?"
    if names:
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        return f"--profile: there is no profile {name!r}, but {', '.join(names[:SHOWN])}{more}"
    return f"--profile: there is no profile {name!r}: 'overstory tune' writes one"
