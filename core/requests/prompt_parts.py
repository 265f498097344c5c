"""What a request's prompt held, as far as its number of tokens depends on it.

It is kept with each call. With the prompt tokens that the reply reports, it shows how an endpoint
counts images and text (core/account/token_fit.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

from core.catalog.tokens import Detail

Size = tuple[int, int]
"""Width and height in pixels, as sent."""


@dataclass(frozen=True, slots=True)
class PromptParts:
    """``detail``: of the images, None without any. ``sizes``: how many images of each size.
    ``ascii``, ``other``: bytes of its text in ASCII, and of all other characters in UTF-8: a
    tokenizer has another rate for each."""

    detail: Detail | None
    sizes: tuple[tuple[Size, int], ...]
    ascii: int
    other: int

    @property
    def images(self) -> int:
        return sum(count for _, count in self.sizes)

    def to_json(self) -> dict[str, Any]:
        sizes = [[*size, count] for size, count in self.sizes]
        return {"detail": self.detail, "sizes": sizes, "ascii": self.ascii, "other": self.other}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> PromptParts:
        sizes = tuple(((width, height), count) for width, height, count in value["sizes"])
        return cls(cast("Detail | None", value["detail"]), sizes, value["ascii"], value["other"])


def parts_of(text: str, shown: Iterable[Size], detail: Detail) -> PromptParts | None:
    """The parts of a prompt with ``text`` that shows images of these sizes. None if a size is not
    known (0): the provider fetches that image itself."""
    counted = Counter(shown)
    if any(not width or not height for width, height in counted):
        return None
    ascii_bytes = len(text.encode("ascii", "ignore"))
    other_bytes = len(text.encode(errors="replace")) - ascii_bytes
    sizes = tuple(sorted(counted.items()))
    return PromptParts(detail if counted else None, sizes, ascii_bytes, other_bytes)
