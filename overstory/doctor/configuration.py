"""Checks of the settings: are the values valid, where do they come from, is a name misspelt?"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path

from pydantic import SecretStr

from clients.private_files import OTHERS
from core.config_file import VARIABLE, config_path, variables_of
from core.errors import WrongUsage
from core.settings import Settings, sources
from overstory.doctor.context import Context
from overstory.doctor.finding import Finding, failed, ok, warning
from overstory.local.urls import masked
from overstory.output.plural import pluralize

OURS = "OVERSTORY_"
INTERNAL = frozenset(
    {
        *("OVERSTORY_PARENT_PID", "OVERSTORY_SANDBOX_PARENT_PID"),  # set for our processes
        *("OVERSTORY_VERSION", "OVERSTORY_INPUTS"),  # read by docker-compose.yml
        VARIABLE,
    }
)
"""Variables with our prefix that are not settings."""
SIMILAR = 0.75
RENEW = "create one as .env.example shows, and give it to the receivers"
_SECRET = re.compile(
    r"whsec_(?=.{32,88}$)(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"
)
"""The form that Standard Webhooks requires; the library accepts weaker ones."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting. ``source``: the variable or option it comes from, or ``default``."""

    name: str
    value: str
    source: str


def check(context: Context) -> Finding:
    """Every value is valid, every name is known, and the file is for its owner alone."""
    unknown = tuple(unknown_names(context.environ))
    if context.wrong is not None:
        do = "correct or unset it; the other checks need valid settings"
        return failed(f"invalid setting: {context.wrong}", do, *unknown)
    details = [_line(one) for one in settings_of(context) if one.source != "default"]
    if unknown:
        return warning(
            f"ignored: {pluralize(len(unknown), 'unknown variable')}",
            "correct or unset: " + "; ".join(unknown),
            *details,
        )
    if is_open(path := config_path()):
        return warning(
            f"others can read {path}, which may hold a key", f"chmod 600 {path}", *details
        )
    total = len(Settings.model_fields)
    return ok(f"{len(details)} of {total} are set, all values are valid", *details)


def webhooks(context: Context) -> Finding | None:
    """The secret that signs webhooks is valid and hard to guess."""
    secret = context.settings.webhook_secret
    if secret is None:
        return None
    from clients.webhooks import Messenger

    text = secret.get_secret_value()
    try:
        Messenger(text).headers("doctor", "", datetime.now(UTC))
    except WrongUsage as error:
        return failed(str(error), RENEW)
    if not text.split():
        return failed("OVERSTORY_WEBHOOK_SECRET is empty: it cannot sign", RENEW)
    weak = [word for word in text.split() if _SECRET.fullmatch(word) is None]
    if weak:
        return warning(
            "OVERSTORY_WEBHOOK_SECRET is not whsec_ and 24 to 64 bytes in base64: it may be easy"
            " to guess, or receivers refuse it",
            RENEW,
        )
    return ok("OVERSTORY_WEBHOOK_SECRET is valid")


def is_open(path: Path) -> bool:
    """Whether another user may read the configuration file."""
    try:
        return bool(stat.S_IMODE(path.stat().st_mode) & OTHERS)
    except OSError:
        return False


def settings_of(context: Context) -> Iterator[Setting]:
    """Every setting with its value (secrets hidden) and its source."""
    given = sources() | {name: f"--{name}" for name in context.options}
    for name in Settings.model_fields:
        variable = variables_of(Settings, name)[0]
        yield Setting(variable, _shown(getattr(context.settings, name)), given.get(name, "default"))


def unknown_names(environ: Iterable[str]) -> Iterator[str]:
    """``OVERSTORY_TEIR (did you mean OVERSTORY_TIER?)`` for every unknown name."""
    known = [v for name in Settings.model_fields for v in variables_of(Settings, name)]
    for name in sorted(environ):
        if not name.upper().startswith(OURS) or name.upper() in {*known, *INTERNAL}:
            continue
        near = get_close_matches(name.upper(), known, n=1, cutoff=SIMILAR)
        yield f"{name} (did you mean {near[0]}?)" if near else name


def _shown(value: object) -> str:
    if isinstance(value, SecretStr):
        return "present, not shown"
    text = "not set" if value is None else str(value)
    return masked(text) if "://" in text else text


def _line(setting: Setting) -> str:
    source = "" if setting.source == setting.name else f" (from {setting.source})"
    return f"{setting.name} = {setting.value}{source}"
