"""Makes received text safe to store and to encode."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
"""NUL, which PostgreSQL cannot store in text, and lone surrogates, which UTF-8 cannot encode. JSON
can contain both, and a reply that cannot be stored would be paid for again."""
DEPTH_MAX = 64
"""Lists and objects inside each other in one JSON value. Code that walks values is recursive; no
answer that people ask for is nested so deep."""
UNSTORABLE = "it has a NUL or half a UTF-16 pair in it, which no database stores: give valid text"
"""What a person is told who gives such text."""


def is_storable(text: str) -> bool:
    """Whether both databases can store ``text``, and UTF-8 can encode it."""
    return _UNSTORABLE.search(text) is None


def all_storable(value: Any) -> bool:
    """``is_storable`` for every text in a JSON value, names included, at any depth."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str) and not is_storable(item):
            return False
        if isinstance(item, Mapping):
            waiting += [*item.keys(), *item.values()]
        elif isinstance(item, (list, tuple)):
            waiting += item
    return True


def storable(value: Any) -> Any:
    """A JSON value with U+FFFD in place of such characters, in names too.

    Raises RecursionError if it is nested too deep.
    """
    if isinstance(value, str):
        return _UNSTORABLE.sub("\ufffd", value)
    if isinstance(value, list):
        return [storable(item) for item in value]
    if isinstance(value, dict):
        return {storable(name): storable(item) for name, item in value.items()}
    return value


def nested_deeper(value: Any, most: int) -> bool:
    """Whether lists and objects in ``value`` are nested deeper than ``most``; without recursion."""
    level = [value]
    for _ in range(most + 1):
        level = [item for item in level if isinstance(item, dict | list)]
        if not level:
            return False
        level = [
            inner for item in level for inner in (item.values() if isinstance(item, dict) else item)
        ]
    return True
