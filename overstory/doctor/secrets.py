"""Finds keys and passwords, so that they can be removed from everything that is printed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import unquote

from core.access import without_secrets
from core.settings import Settings
from overstory.local.urls import HIDDEN, secrets_in

SECRET_MIN = 4
"""Shorter ones are hidden inside their URL, but not searched for in every sentence."""
KEYS = ("OVERSTORY_API_KEY", "STEPFUN_API_KEY")


def secrets_of(environ: Mapping[str, str], settings: Settings | None) -> tuple[str, ...]:
    """Every key and password that the environment and the settings hold, the longest first."""
    secrets = {environ[name].strip() for name in KEYS if name in environ}
    secrets |= set(environ.get("OVERSTORY_WEBHOOK_SECRET", "").split())
    if settings is not None and settings.api_key is not None:
        secrets.add(settings.api_key.get_secret_value().strip())
    texts = [value for name, value in environ.items() if name.upper().startswith("OVERSTORY_")]
    if settings is not None:  # they may be from the configuration file
        if settings.webhook_secret is not None:
            secrets |= set(settings.webhook_secret.get_secret_value().split())
        urls = (settings.database_url, settings.broker_url, settings.limiter_url)
        texts += [url or "" for url in urls]
    for value in texts:
        hidden = set(secrets_in(value))
        secrets |= {*hidden, *map(unquote, hidden)}
    long_enough = [text for text in secrets if len(text) >= SECRET_MIN]
    return tuple(sorted(long_enough, key=len, reverse=True))


def scrubbed(text: str, secrets: Iterable[str]) -> str:
    """``text`` without any of ``secrets``, and without tokens of the API."""
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    return without_secrets(text)
