"""From words on a picture to its rows of text, from top to bottom."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

SAME_ROW = 0.6
"""Centres nearer than this share of a word's height are in one row."""
BESIDE = 0.35
"""Words whose centres are further apart than this share of their widths together do not overlap,
even if their boxes are somewhat too wide."""
WIDE = 3.0
"""Words this many times as wide as high tell how far the page is turned."""
STEP, STEPS = 0.002, 7
"""Angles tried on each side of the rough one, in radians."""


@dataclass(frozen=True, slots=True)
class Word:
    """Text that recognition found in one box. ``x``, ``y``: its centre in pixels; ``width`` and
    ``height`` along the text; ``angle`` in radians; ``confidence`` from 0 to 1."""

    text: str
    confidence: float
    x: float
    y: float
    width: float
    height: float
    angle: float = 0.0


@dataclass(frozen=True, slots=True)
class Row:
    """The words of one row from left to right, and the lowest of their confidences."""

    text: str
    confidence: float


def rows_of(words: Sequence[Word]) -> list[Row]:
    """The rows of a page that may be turned a little.

    Boxes tell its angle only roughly, so angles near theirs are tried: the right one gives the
    fewest rows, and of those the flattest.
    """
    if not words:
        return []
    rough = _angle(words)
    tried = [_at_angle(words, rough + step * STEP) for step in range(-STEPS, STEPS + 1)]
    return [_row(row) for row in min(tried, key=lambda rows: (len(rows[0]), rows[1]))[0]]


def _at_angle(words: Sequence[Word], angle: float) -> tuple[list[list[Word]], float]:
    """The rows if the page is turned by ``angle``, and how far their words are from their row."""
    across, down = math.cos(angle), math.sin(angle)
    placed = sorted(((w.y * across - w.x * down, w) for w in words), key=lambda item: item[0])
    rows: list[list[Word]] = []
    spread, last = 0.0, -math.inf
    for y, word in placed:
        if rows and _fits(word, y - last, rows[-1], (across, down)):
            rows[-1].append(word)
            spread += y - last
        else:
            rows.append([word])
        last = y
    return [sorted(row, key=lambda word: word.x) for row in rows], spread


def _fits(word: Word, below: float, row: Sequence[Word], turn: tuple[float, float]) -> bool:
    """Whether the next ``word`` is in ``row``: near enough, and beside all words of it."""
    beside = all(
        abs((word.x - other.x) * turn[0] + (word.y - other.y) * turn[1])
        > BESIDE * (word.width + other.width)
        for other in row
    )
    return beside and below < SAME_ROW * min(word.height, row[-1].height)


def _row(words: Sequence[Word]) -> Row:
    return Row(" ".join(word.text for word in words), min(word.confidence for word in words))


def _angle(words: Sequence[Word]) -> float:
    wide = [word.angle for word in words if word.width > WIDE * word.height]
    return statistics.median(wide) if wide else 0.0
