"""Facts of an image as a table's row gives them, held as one text: a job may have many thousands.

A dict with five short texts takes four times as much memory as its JSON.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from clients.sources.location import Source


def facts_key(sources: Sequence[Source]) -> str | None:
    """A hash of all facts of a job, in order; None without any."""
    if all(source.facts is None for source in sources):
        return None
    digest = hashlib.sha256()
    for source in sources:
        digest.update(json.dumps(dict(source.facts or {}), sort_keys=True).encode() + b"\n")
    return digest.hexdigest()


class Facts(Mapping[str, Any]):
    """Text, numbers, true or false by column, in the table's order. Never changed."""

    __slots__ = ("_json",)

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._json = json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode()

    def __getitem__(self, column: str) -> Any:
        return self._values()[column]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values())

    def __len__(self) -> int:
        return len(self._values())

    def __repr__(self) -> str:
        return f"Facts({self._values()!r})"

    @property
    def bytes(self) -> int:
        return len(self._json)

    def _values(self) -> dict[str, Any]:
        return _parsed(self._json)


@functools.lru_cache(1)
def _parsed(text: bytes) -> dict[str, Any]:
    """The last one is kept, because a caller that reads a column reads the others next."""
    values: dict[str, Any] = json.loads(text.decode())
    return values
