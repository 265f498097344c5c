"""One image as an answer speaks of it: seen in this request, or read from an earlier note."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from overstory.sandbox.answers import citations
from overstory.sandbox.vision.colours import BRIGHTNESS, COLOURS, words_seen
from overstory.sandbox.vision.describe import Description

INVENTED_MARKER = 9999
_OVERVIEW = re.compile(r"\s*Of \d+ images\b")  # about the set: its words fit no single marker


@dataclass(frozen=True, slots=True)
class Observation:
    """A marker, a line about it, and the vocabulary's words that are true of it.

    ``numbers`` are width and height (px), brightness (0..255) and share of the main colour (0..1),
    as far as they are known.
    """

    marker: int
    line: str
    words: tuple[str, ...]
    numbers: tuple[tuple[str, float], ...] = ()

    @property
    def colour(self) -> str | None:
        """The main colour, if a note told it."""
        return next((word for word in self.words if word in COLOURS), None)

    @property
    def light(self) -> str | None:
        """dark, dim or bright, if a note told it."""
        return next((word for word in self.words if word in BRIGHTNESS), None)


INVENTED = Observation(INVENTED_MARKER, "an image that was never sent", ("pink", "bright"))
"""What false_citations adds to every answer."""


def seen(text: str, looks: Sequence[Description]) -> list[Observation]:
    """The images of a request, numbered as its text declares."""
    numbers = citations.declared(text, len(looks))
    return [_of_look(marker, look) for marker, look in zip(numbers, looks, strict=True)]


def _of_look(marker: int, look: Description) -> Observation:
    numbers = {
        "width": float(look.width),
        "height": float(look.height),
        "brightness": look.brightness,
        "share": look.colours[0][1],
    }
    return Observation(marker, look.sentence(), look.words, tuple(numbers.items()))


def noted(notes: str) -> list[Observation]:
    """The images that notes speak of, each marker once, told by the first line that has words."""
    find = citations.cited if citations.cited(notes) else citations.keyed
    found: dict[int, Observation] = {}
    for line in notes.splitlines():
        numbers = find(line)
        if not numbers:
            continue
        words = () if _OVERVIEW.match(line) else tuple(dict.fromkeys(words_seen(line)))
        for marker in numbers:
            if marker not in found or (words and not found[marker].words):
                found[marker] = Observation(marker, _said(line), words)
    return list(found.values())


def _said(line: str) -> str:
    return line.split("]", 1)[-1].strip(" :,-")[:200]
