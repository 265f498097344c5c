"""Makes received text safe to store and to encode."""

from __future__ import annotations

import re
from typing import Any

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
"""NUL, which PostgreSQL cannot store in text, and lone surrogates, which UTF-8 cannot encode. JSON
can contain both, and a reply that cannot be stored would be paid for again."""


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
