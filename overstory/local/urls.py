"""Service URLs: hide their secrets when shown, check their passwords before use."""

from __future__ import annotations

import re
from collections.abc import Iterator

HIDDEN = "•••"
_PASSWORD = re.compile(r"(://[^:@]*:)(.+)(@)", re.DOTALL)
"""Up to the last @: hiding too much of a URL is better than showing half a password."""
_PARAMETER = re.compile(r"([?&][^=&]*(?:pass|secret|key|token)[^=&]*=)([^&#]+)()", re.IGNORECASE)
_CUT = re.compile(r"://[^:/?#@]*:(?!\d+/)(?:[^@]*[/?#].*|[^?#]*/[^?#]*)@", re.DOTALL)
"""Matches neither ``host:6379/0?client=a@b`` (no password) nor ``u:p@host/x?client=a@b``."""
_PIECES = re.compile(r"[/?#@]")


def masked(url: str) -> str:
    """``url`` without its password and without secret parameters of its query."""
    for pattern in (_PASSWORD, _PARAMETER):
        url = pattern.sub(rf"\g<1>{HIDDEN}\g<3>", url)
    return url


def secrets_in(url: str) -> Iterator[str]:
    """Each secret that ``masked`` hides, and the pieces that a library may cut it into."""
    for pattern in (_PASSWORD, _PARAMETER):
        for match in pattern.finditer(url):
            yield match[2]
            yield from _PIECES.split(match[2])


def wrong_password(url: str) -> str | None:
    """What is wrong with the password's encoding, without quoting it; None if nothing is.

    A library takes the rest of such a password for a host or path, and prints it in errors.
    """
    if _CUT.search(url) is None:
        return None
    return "its password holds a /, ? or #: write %2F, %3F, %23 (and %40 for @)"
