"""Addresses of services: shown without what is secret in them, looked at before they are used."""

from __future__ import annotations

import re
from collections.abc import Iterator

HIDDEN = "•••"
_PASSWORD = re.compile(r"(://[^:@]*:)(.+)(@)", re.DOTALL)
"""Up to the last @, whatever is in it: rather hide half an address than show half a password."""
_PARAMETER = re.compile(r"([?&][^=&]*(?:pass|secret|key|token)[^=&]*=)([^&#]+)()", re.IGNORECASE)
_CUT = re.compile(r"://[^:/?#@]*:(?!\d+/)(?:[^@]*[/?#].*|[^?#]*/[^?#]*)@", re.DOTALL)
"""Not ``host:6379/0?client=a@b``, which has no password, nor ``u:p@host/x?client=a@b``."""
_PIECES = re.compile(r"[/?#@]")


def masked(url: str) -> str:
    """``url`` with its password hidden, and what its query calls a secret."""
    for pattern in (_PASSWORD, _PARAMETER):
        url = pattern.sub(rf"\g<1>{HIDDEN}\g<3>", url)
    return url


def secrets_in(url: str) -> Iterator[str]:
    """What ``masked`` hides, whole and in the pieces that a library takes it for."""
    for pattern in (_PASSWORD, _PARAMETER):
        for match in pattern.finditer(url):
            yield match[2]
            yield from _PIECES.split(match[2])


def wrong_password(url: str) -> str | None:
    """How the password of ``url`` is miswritten, in words that hold none of it; None where it is
    not. Libraries take what follows such a character for something else, and print it."""
    if _CUT.search(url) is None:
        return None
    return "its password holds a /, ? or #, which end it in a URL: write %2F, %3F, %23 (%40 for @)"
