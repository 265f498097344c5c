"""TODO"""

from __future__ import annotations

import re

from core.errors import LimitKind

_KINDS = (
    (LimitKind.UNKNOWN, re.compile(r"\b(rpd|tpd)\b|per[ _-]?day", re.IGNORECASE)),
    (LimitKind.CONCURRENCY, re.compile(r"concurren|in[ -]flight|parallel", re.IGNORECASE)),
    (LimitKind.TPM, re.compile(r"\btpm\b|tokens?[ _-]?per", re.IGNORECASE)),
    (LimitKind.RPM, re.compile(r"\brpm\b|requests?[ _-]?per", re.IGNORECASE)),
)


_CURRENT = re.compile(r"\b(?:current|used)\b[\s:=]*(\d[\d,_]*)", re.IGNORECASE)


_LIMIT = re.compile(r"\b(?:limit|max(?:imum)?)\b(?: is| of)?[\s:=]*(\d[\d,_]*)", re.IGNORECASE)


def parse_429(message: str) -> tuple[LimitKind, int | None, int | None]:
    """(kind, current, limit) as a 429's text has them; UNKNOWN and None for what it does not say.

    The texts of fact sheet 5, and others that name a kind and ``limit N``. A limit a day is
    UNKNOWN: no window of ours can keep it.
    """
    kind = next((kind for kind, words in _KINDS if words.search(message)), LimitKind.UNKNOWN)
    return kind, _number(_CURRENT, message), _number(_LIMIT, message)


def _number(pattern: re.Pattern[str], message: str) -> int | None:
    found = pattern.search(message)
    return int(re.sub(r"[,_]", "", found[1])) if found else None
