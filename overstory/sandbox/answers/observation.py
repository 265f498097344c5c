"""What an answer knows about one image: from its pixels, or from an earlier note."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from overstory.sandbox.answers import citations
from overstory.sandbox.vision.colours import BRIGHTNESS, COLOURS, words_seen
from overstory.sandbox.vision.describe import Description

INVENTED_MARKER = 9999
_OVERVIEW = re.compile(
    r"\s*Of \d+ images\b"
)  # about the set, so its words describe no single marker


@dataclass(frozen=True, slots=True)
class Observation:
    """A marker, a line of text, and the vocabulary's words that describe the image.

    ``numbers`` are width and height (px), brightness (0..255) and the share of the main colour
    (0..1). An image read from a note has no numbers. ``says``: a text that is everything about
    the image: the word of a canary, or "no comment".
    ``unsure``: it is shown too small for the model.
    """

    marker: int
    line: str
    words: tuple[str, ...]
    numbers: tuple[tuple[str, float], ...] = ()
    says: str | None = None
    unsure: bool = False

    @property
    def colour(self) -> str | None:
        return next((word for word in self.words if word in COLOURS), None)

    @property
    def light(self) -> str | None:
        """dark, dim or bright, if known."""
        return next((word for word in self.words if word in BRIGHTNESS), None)


INVENTED = Observation(INVENTED_MARKER, "an image that was never sent", ("pink", "bright"))
"""Added to every answer by false_citations."""


def from_pictures(text: str, descriptions: Sequence[Description]) -> list[Observation]:
    """The images of a request, numbered as its ``text`` declares."""
    numbers = citations.declared(text, len(descriptions))
    return [
        _from_description(marker, description)
        for marker, description in zip(numbers, descriptions, strict=True)
    ]


def only(marker: int, text: str) -> Observation:
    """An image about which ``text`` is everything."""
    return Observation(marker, text, (), says=text)


def _from_description(marker: int, description: Description) -> Observation:
    if description.word:
        return only(marker, description.word)
    numbers = {
        "width": float(description.width),
        "height": float(description.height),
        "brightness": description.brightness,
        "share": description.colours[0][1],
    }
    return Observation(marker, description.sentence(), description.words, tuple(numbers.items()))


def from_notes(notes: str) -> list[Observation]:
    """The images in the notes, one per marker, by its first line with vocabulary words."""
    find = citations.cited if citations.cited(notes) else citations.keyed
    by_marker: dict[int, Observation] = {}
    for line in notes.splitlines():
        numbers = find(line)
        if not numbers:
            continue
        words = () if _OVERVIEW.match(line) else tuple(dict.fromkeys(words_seen(line)))
        for marker in numbers:
            if marker not in by_marker or (words and not by_marker[marker].words):
                by_marker[marker] = Observation(marker, _after_marker(line), words)
    return list(by_marker.values())


def _after_marker(line: str) -> str:
    return line.split("]", 1)[-1].strip(" :,-")[:200]
