"""Reads replies that are JSON objects keyed by image number.

A reply may be in a code fence, have text around it, or be cut short: every complete entry is read
and nothing is guessed. A key with two different values is dropped.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from core.text.sanitize import DEPTH_MAX, nested_deeper, storable

_KEY_GAP = re.compile(r"\s*:\s*")
_NEXT = re.compile(r"\s*,?\s*")
_CONFLICT = object()
DIGITS_MAX = 300
"""A longer integer is refused, like a float above 1e308. No model means such a number, and a sum of
several could have more digits than Python prints (4,300)."""


def entries(text: str) -> dict[str, Any]:
    """The complete entries of the first JSON object in ``text``; keys lose brackets and spaces."""
    kept: dict[str, Any] = {}
    at = text.find("{") + 1
    if at == 0:
        return {}
    while True:
        entry = _entry(text, _skip(_NEXT, text, at))
        if entry is None:
            break
        key, value, at = entry
        key = key.strip(" []")
        kept[key] = value if key not in kept or kept[key] == value else _CONFLICT
    return {key: value for key, value in kept.items() if value is not _CONFLICT}


def _entry(text: str, at: int) -> tuple[str, Any, int] | None:
    """Key, value and end of the entry at ``at``; None if the entry is not complete."""
    try:
        key, at = _DECODER.raw_decode(text, at)
        gap = _KEY_GAP.match(text, at)
        if not isinstance(key, str) or gap is None:
            return None
        value, end = _DECODER.raw_decode(text, gap.end())
        if nested_deeper(value, DEPTH_MAX):
            return None
        key, value = storable(key), storable(value)
    except (ValueError, RecursionError):
        return None
    # a number at the very end of the text may be cut short
    is_complete = end < len(text) or not isinstance(value, int | float)
    return (key, value, end) if is_complete else None


def _skip(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return match.end() if match else at


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _short(text: str) -> int:
    if len(text) > DIGITS_MAX:
        raise ValueError(text[:DIGITS_MAX])
    return int(text)


def _no_constant(name: str) -> Any:
    raise ValueError(name)


_DECODER = json.JSONDecoder(parse_float=_finite, parse_int=_short, parse_constant=_no_constant)


def line_of(value: Any) -> str:
    """A JSON answer as one readable line: ``total: 12.5; shop: Corner Café``."""
    if isinstance(value, Mapping):
        return "; ".join(f"{name}: {line_of(inner)}" for name, inner in value.items())
    if isinstance(value, list):
        return ", ".join(f"({line_of(v)})" if isinstance(v, Mapping) else line_of(v) for v in value)
    if isinstance(value, str):
        return " ".join(value.split())
    return json.dumps(value)
