"""Keys and passwords: found, so that they can be left out of whatever is printed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import unquote, urlsplit, urlunsplit

from core.settings import Settings

HIDDEN = "•••"
SECRET_MIN = 4
"""Shorter ones are hidden where they stand in a URL, but not hunted for in every sentence."""
KEYS = ("OVERSTORY_API_KEY", "STEPFUN_API_KEY")


def masked(url: str) -> str:
    """``url`` with its password, and every value of its query, hidden."""
    try:
        parts = urlsplit(url)
        password = parts.password
    except ValueError:
        return HIDDEN
    place = parts.netloc
    if password:
        user, _, host = place.rpartition("@")
        place = f"{user.partition(':')[0]}:{HIDDEN}@{host}"
    query = "&".join(
        part if part.startswith(("virtual_host=", "db=")) else part.partition("=")[0] + f"={HIDDEN}"
        for part in parts.query.split("&")
        if part
    )
    return urlunsplit((parts.scheme, place, parts.path, query, parts.fragment))


def secrets_of(environ: Mapping[str, str], settings: Settings | None) -> tuple[str, ...]:
    """Every key and password that the environment and the settings hold, the longest first."""
    found = {environ[name].strip() for name in KEYS if name in environ}
    if settings is not None and settings.api_key is not None:
        found.add(settings.api_key.get_secret_value().strip())
    for name, value in environ.items():
        if name.upper().startswith("OVERSTORY_") and "://" in value:
            found |= _passwords(value)
    return tuple(sorted((word for word in found if len(word) >= SECRET_MIN), key=len, reverse=True))


def scrubbed(text: str, secrets: Iterable[str]) -> str:
    """``text`` without any of ``secrets``."""
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    return text


def _passwords(url: str) -> set[str]:
    try:
        password = urlsplit(url).password or ""
    except ValueError:
        return set()
    return {password, unquote(password)}
