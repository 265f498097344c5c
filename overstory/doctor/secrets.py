"""Keys and passwords: found, so that they can be left out of whatever is printed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from urllib.parse import unquote

from core.errors import ServiceAway
from core.settings import Settings
from overstory.local.urls import HIDDEN, secrets_in
from workers.endpoints import database_url

SECRET_MIN = 4
"""Shorter ones are hidden where they stand in a URL, but not hunted for in every sentence."""
KEYS = ("OVERSTORY_API_KEY", "STEPFUN_API_KEY")


def secrets_of(environ: Mapping[str, str], settings: Settings | None) -> tuple[str, ...]:
    """Every key and password that the environment and the settings hold, the longest first."""
    found = {environ[name].strip() for name in KEYS if name in environ}
    found |= set(environ.get("OVERSTORY_WEBHOOK_SECRET", "").split())
    if settings is not None and settings.api_key is not None:
        found.add(settings.api_key.get_secret_value().strip())
    texts = [value for name, value in environ.items() if name.upper().startswith("OVERSTORY_")]
    if settings is not None:
        with suppress(ServiceAway):  # the folder is closed to us: a check of its own
            texts.append(database_url(settings))  # a home's own PostgreSQL has a password too
    for value in texts:
        hidden = set(secrets_in(value))
        found |= {*hidden, *map(unquote, hidden)}
    return tuple(sorted((word for word in found if len(word) >= SECRET_MIN), key=len, reverse=True))


def scrubbed(text: str, secrets: Iterable[str]) -> str:
    """``text`` without any of ``secrets``."""
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    return text
