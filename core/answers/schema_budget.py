"""How far walks over a schema go, and how much work the check of one value may be.

References make a short text large: six levels of twenty references each are 64 million places. The
limits count work and not time, so a schema or a reply is judged the same on every machine and at
every replay.
"""

from __future__ import annotations

from typing import Any

from core.errors import WrongUsage

VISITS_MAX = 20_000
"""Places that all walks over one schema may visit together, with references followed."""
CHARACTERS_A_VISIT = 100
"""So many characters or values beside a place count as one more visit, because they are copied."""


class Visits:
    """Counts the visits of all walks over one schema. Raises WrongUsage when they are used up."""

    def __init__(self, most: int = VISITS_MAX) -> None:
        self.most = most
        self.left = most
        self._sizes: dict[int, tuple[object, int]] = {}

    def spend(self, visits: int = 1) -> None:
        self.left -= visits
        if self.left < 0:
            raise WrongUsage(
                f"schema: with its references followed it has more than {self.most:,} places: ask"
                " for less, or put repeated parts in an array"
            )

    def place(self, schema: Any) -> None:
        """Count one place and what is copied with it."""
        inside = schema.values() if isinstance(schema, dict) else ()
        values = [value for value in inside if isinstance(value, str | list)]
        self.spend(1 + sum(map(self._size, values)) // CHARACTERS_A_VISIT)

    def _size(self, value: Any) -> int:
        """Characters and values in ``value``; measured once, because references lead here often."""
        if isinstance(value, str):
            return len(value)
        if id(value) not in self._sizes:
            self._sizes[id(value)] = (value, size_of(value))  # kept, so that no other gets its id
        return self._sizes[id(value)][1]


def size_of(value: Any) -> int:
    """Characters and values in a JSON value. Schemas inside it count, too."""
    size = 0
    rest = [value]
    while rest:
        item = rest.pop()
        size += 1
        if isinstance(item, str):
            size += len(item)
        elif isinstance(item, list):
            rest.extend(item)
        elif isinstance(item, dict):
            rest.extend(item)
            rest.extend(item.values())
    return size
