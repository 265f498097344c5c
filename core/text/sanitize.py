"""Text that every database and every encoder takes, of what others sent."""

from __future__ import annotations

import re
from typing import Any

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
"""NUL, which PostgreSQL keeps in no text, and halves of surrogate pairs, which are no UTF-8. JSON
can spell both, and a reply that cannot be stored would be paid for again."""


def storable(value: Any) -> Any:
    """A JSON value with U+FFFD for what no text can hold, in names too.

    Raises RecursionError where it is nested too deep to be read.
    """
    if isinstance(value, str):
        return _UNSTORABLE.sub("\ufffd", value)
    if isinstance(value, list):
        return [storable(each) for each in value]
    if isinstance(value, dict):
        return {storable(name): storable(each) for name, each in value.items()}
    return value
