"""From words on a picture to its rows of text, from top to bottom."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

SAME_ROW = 0.6
"""Centres nearer than this share of a word's height are in one row."""
WIDE = 3.0
"""Words this many times as wide as high tell how far the page is turned."""


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
    """The rows of a page that may be turned a little: boxes are set upright first."""
    turned = _angle(words)
    across, down = math.cos(turned), math.sin(turned)
    placed = sorted((w.y * across - w.x * down, w.x * across + w.y * down, w) for w in words)
    rows: list[list[tuple[float, float, Word]]] = []
    for item in placed:
        if rows and item[0] - rows[-1][-1][0] < SAME_ROW * min(
            item[2].height, rows[-1][-1][2].height
        ):
            rows[-1].append(item)
        else:
            rows.append([item])
    return [_row([word for _, _, word in sorted(row, key=lambda i: i[1])]) for row in rows]


def _row(words: Sequence[Word]) -> Row:
    return Row(" ".join(word.text for word in words), min(word.confidence for word in words))


def _angle(words: Sequence[Word]) -> float:
    wide = [word.angle for word in words if word.width > WIDE * word.height]
    return statistics.median(wide) if wide else 0.0
