"""The settings: are they understood, where does each come from, is a name misspelt?"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches

from pydantic import AliasChoices, SecretStr

from core.errors import WrongUsage
from core.settings import Settings
from overstory.doctor.context import Context
from overstory.doctor.finding import Finding, failed, ok, warning
from overstory.local.urls import masked

OURS = "OVERSTORY_"
INTERNAL = frozenset(
    {
        *("OVERSTORY_PARENT_PID", "OVERSTORY_SANDBOX_PARENT_PID"),  # for processes of our own
        *("OVERSTORY_VERSION", "OVERSTORY_INPUTS"),  # docker-compose.yml reads these itself
    }
)
"""Ours, and no settings."""
SIMILAR = 0.75
FRESH = "set one as .env.example has it, and tell the receivers"
_SECRET = re.compile(
    r"whsec_(?=.{32,88}$)(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"
)
"""As Standard Webhooks has it; the library takes less."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting as it stands. ``source``: the variable or option it comes from, or default."""

    name: str
    value: str
    source: str


def check(context: Context) -> Finding:
    """Every value is understood and every name is known."""
    unknown = tuple(unknown_names(context.environ))
    if context.wrong is not None:
        do = "correct or unset what is named here; the other checks wait for it"
        return failed(f"not understood: {context.wrong}", do, *unknown)
    shown = [setting for setting in settings_of(context) if setting.source != "default"]
    details = [_line(setting) for setting in shown]
    if unknown:
        many = "1 variable has" if len(unknown) == 1 else f"{len(unknown)} variables have"
        return warning(
            f"{many} a name that no setting has, and no effect",
            "correct or unset: " + "; ".join(unknown),
            *details,
        )
    total = len(Settings.model_fields)
    return ok(f"{len(shown)} of {total} are set, every value is understood", *details)


def webhooks(context: Context) -> Finding | None:
    """The secret that webhooks are signed with can sign, and is not to be guessed."""
    secret = context.settings.webhook_secret
    if secret is None:
        return None
    from clients.webhooks import Messenger

    words = secret.get_secret_value()
    try:
        Messenger(words).headers("doctor", "", datetime.now(UTC))
    except WrongUsage as error:
        return failed(str(error), FRESH)
    if not words.split():
        return failed("OVERSTORY_WEBHOOK_SECRET is empty: receivers could not trust it", FRESH)
    weak = [word for word in words.split() if _SECRET.fullmatch(word) is None]
    if weak:
        return warning(
            "OVERSTORY_WEBHOOK_SECRET is not whsec_ and 24 to 64 bytes in base64: it can be"
            " guessed, or receivers refuse it",
            FRESH,
        )
    return ok("OVERSTORY_WEBHOOK_SECRET can sign")


def settings_of(context: Context) -> Iterator[Setting]:
    """Every setting with its value, secrets hidden, and where it comes from."""
    present = {name.upper(): name for name in context.environ}
    for name in Settings.model_fields:
        variables = variables_of(name)
        source = next((present[v] for v in variables if v in present), "default")
        if name in context.given:
            source = f"--{name}"
        yield Setting(variables[0], _shown(getattr(context.settings, name)), source)


def unknown_names(environ: Iterable[str]) -> Iterator[str]:
    """``OVERSTORY_TEIR (did you mean OVERSTORY_TIER?)`` for every name that is no setting's."""
    known = [variable for name in Settings.model_fields for variable in variables_of(name)]
    for name in sorted(environ):
        if not name.upper().startswith(OURS) or name.upper() in {*known, *INTERNAL}:
            continue
        near = get_close_matches(name.upper(), known, n=1, cutoff=SIMILAR)
        yield f"{name} (did you mean {near[0]}?)" if near else name


def variables_of(name: str) -> tuple[str, ...]:
    """The environment variables a field is read from, the strongest first."""
    alias = Settings.model_fields[name].validation_alias
    if isinstance(alias, AliasChoices):
        return tuple(str(choice) for choice in alias.choices)
    return (f"{OURS}{name.upper()}",)


def _shown(value: object) -> str:
    if isinstance(value, SecretStr):
        return "present, not shown"
    text = "not set" if value is None else str(value)
    return masked(text) if "://" in text else text


def _line(setting: Setting) -> str:
    said = setting.source == setting.name
    return f"{setting.name} = {setting.value}" + ("" if said else f" (from {setting.source})")
