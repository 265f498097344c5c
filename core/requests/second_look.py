"""The second look: how a reply marks what it could not tell, and which of two looks is kept."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

KEY = "unclear"
"""The key of a JSON reply under which the images stand that it could not tell."""
FIELD_CHARACTERS = 100
SCHEMA: dict[str, Any] = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "image": {"type": "integer"},
            "fields": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["image", "fields"],
        "additionalProperties": False,
    },
}
"""A list beside the answers, and not a property inside each: the person's own schema may be a
reference, a choice or closed, and it is validated as it was given."""
_MARK = re.compile(r"\s{0,8}[?？]{1,3}[ \t]{0,4}[:.)–—-]{0,1}\s{0,8}")

Unclear = tuple[str, ...]
"""The names of the fields that a reply could not tell; empty: the image as a whole."""


def unmarked(line: str) -> tuple[str, bool]:
    """A line without its mark, and whether it had one. A mark alone stays: it is all that the line
    says."""
    match = _MARK.match(line)
    if match is None:
        return line, False
    return line[match.end() :].strip() or "?", True


def unclear_in(value: Any, answers: Mapping[int, Any]) -> dict[int, Unclear]:
    """What a JSON reply says under KEY, by number; only numbers of ``answers`` count. Fields that
    an answer does not have are left out; where none is left, the image as a whole is unclear."""
    found: dict[int, Unclear] = {}
    for entry in value if isinstance(value, list) else ():
        number = entry.get("image") if isinstance(entry, dict) else entry
        if isinstance(number, bool) or not isinstance(number, int) or number not in answers:
            continue
        named = entry.get("fields") if isinstance(entry, dict) else None
        found[number] = _fields(named, answers[number])
    return found


def _fields(named: Any, answer: Any) -> Unclear:
    if not isinstance(named, list) or not isinstance(answer, dict):
        return ()
    return tuple(name for name in answer if name in named and len(name) <= FIELD_CHARACTERS)


def is_better(first: Collection[str] | None, second: Collection[str] | None) -> bool:
    """Whether a second look replaces the first: it could tell more. None: all was clear."""
    if not second or not first:
        return second is None or bool(second)  # all is clear, or a part where nothing was
    return len(second) < len(first)


def looks_left(share: float, images: int, taken: int) -> int:
    """How many images of a job may still be looked at twice. ``share``: of all its ``images``, one
    at least; ``taken``: those that were chosen already."""
    return max(max(1, int(share * images + 1e-9)) - taken, 0)  # 0.29 * 100 is 28.999...
