"""Service URLs: hide their secrets when shown, check their passwords before use."""

from __future__ import annotations

import re
from collections.abc import Iterator

from core.redis_address import CUT, has_cut_password

HIDDEN = "•••"
_USER = re.compile(r"://[^:@]*:")
"""What stands before a password."""
_SECRET = re.compile(r"pass|secret|key|token", re.IGNORECASE)
_PIECES = re.compile(r"[/?#@]")
_VALUE_END = re.compile(r"[&#]")


def masked(url: str) -> str:
    """``url`` without its password and without secret parameters of its query."""
    for find in (_passwords, _parameters):
        shown, at = [], 0
        for start, end in find(url):
            shown += [url[at:start], HIDDEN]
            at = end
        url = "".join([*shown, url[at:]])
    return url


def secrets_in(url: str) -> Iterator[str]:
    """Each secret that ``masked`` hides, and the pieces that a library may cut it into."""
    for find in (_passwords, _parameters):
        for start, end in find(url):
            secret = url[start:end]
            yield secret
            yield from _PIECES.split(secret)


def wrong_password(url: str) -> str | None:
    """What is wrong with the password's encoding, without quoting it; None if nothing is.

    A library takes the rest of such a password for a host or path, and prints it in errors.
    """
    if not has_cut_password(url):
        return None
    return CUT


def _passwords(url: str) -> Iterator[tuple[int, int]]:
    """Start and end of the password, if there is one. It goes up to the last @: hiding too much of
    a URL is better than showing half a password."""
    user, last = _USER.search(url), url.rfind("@")
    if user and user.end() < last:
        yield user.end(), last


def _parameters(url: str) -> Iterator[tuple[int, int]]:
    """Start and end of each value whose name says that it is a secret. A name begins after a & or,
    if there is none since the last value, after a ?."""
    at = 0
    while (equals := url.find("=", at)) >= 0:
        _, sign, name = url[at:equals].rpartition("&")
        if not sign:
            _, sign, name = name.partition("?")
        at = equals + 1
        if sign and _SECRET.search(name):
            value_end = _VALUE_END.search(url, at)
            end = value_end.start() if value_end else len(url)
            if at < end:
                yield at, end
            at = end
