"""Tokens of an image, and an upper estimate for text without a tokenizer."""

from __future__ import annotations

from typing import Literal

Detail = Literal["low", "high"]
JobDetail = Literal["low", "high", "auto"]
"""``auto``: low, and high where an image is looked at twice."""

LOW_TOKENS = 171
"""Low detail and small images: 169 tokens plus start and end (fact sheet 3.4)."""
HIGH_TOKENS_MAX = 3164
"""Squares of 3024 x 3024 and larger (fact sheet 3.4)."""


def detail_at(asked: str, look: int = 1) -> Detail:
    """The detail at which a job of the detail ``asked`` shows images at their first or second
    ``look``."""
    return "high" if asked == "high" or (asked == "auto" and look > 1) else "low"


def image_tokens(width: int, height: int, detail: Detail) -> int:
    """Prompt tokens of one image of width x height pixels.

    Formula: fact sheet 3.4, inferred from the open-weights Step-3.7 processor.
    """
    if detail == "low":
        return LOW_TOKENS
    w, h = _processor_size(width, height)
    long, short = max(w, h), min(w, h)
    window = _window(long, short)
    if window == 0:
        return LOW_TOKENS
    cols, rows = _tiles(w, window), _tiles(h, window)
    return cols * rows * 83 + LOW_TOKENS + (rows - 1)


def _processor_size(width: int, height: int) -> tuple[int, int]:
    long, short = max(width, height), min(width, height)
    if short < 32 and long / short > 4:
        width = height = long
    if long > 3024:
        width, height = int(width * 3024 / long), int(height * 3024 / long)
    return width, height


def _window(long: int, short: int) -> int:
    if long <= 728:
        return short if long / short > 1.5 else 0
    return min(short, 504) if long / short > 4 else 504


def _tiles(size: int, window: int) -> int:
    """Tiles along one axis: full windows, plus one if more than 0.2 of a window is left."""
    ratio = size / window
    if ratio < 1:
        return 1
    return int(ratio) + (ratio - int(ratio) > 0.2)


def text_tokens_estimate(text: str) -> int:
    """Upper estimate for natural text: one token per two UTF-8 bytes.

    English and code take about 1/4 token per byte, CJK 1/3 to 1/2, so this is high for both. A
    reservation made with it is corrected by the reply's usage.
    """
    return -(-len(text.encode()) // 2)
