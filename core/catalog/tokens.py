"""Tokens: what an image costs, and a bound on what a text can cost, without a tokenizer."""

from __future__ import annotations

from typing import Literal

Detail = Literal["low", "high"]

LOW_TOKENS = 171
"""169 and its start and end: what the fact sheet (3.4) gives for low detail and small images."""
HIGH_TOKENS_MAX = 3164
"""3024 x 3024 and everything square above it (fact sheet 3.4)."""


def image_tokens(width: int, height: int, detail: Detail) -> int:
    """Prompt tokens of one image of width x height pixels.

    Formula: fact sheet 3.4, inferred from the open-weights Step-3.7 processor.
    """
    if detail == "low":
        return LOW_TOKENS
    w, h = _as_the_processor_sees(width, height)
    long, short = max(w, h), min(w, h)
    window = _window(long, short)
    if window == 0:
        return LOW_TOKENS
    cols, rows = _tiles(w, window), _tiles(h, window)
    return cols * rows * 83 + LOW_TOKENS + (rows - 1)


def _as_the_processor_sees(width: int, height: int) -> tuple[int, int]:
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
    """Tiles along one axis: snapped to whole windows first, then divided, rounded up."""
    ratio = size / window
    if ratio < 1:
        return 1
    return int(ratio) + (ratio - int(ratio) > 0.2)


def text_tokens_estimate(text: str) -> int:
    """A tokenizer-free upper estimate for natural text: one token for two UTF-8 bytes.

    English and code run at about a quarter of a token a byte, CJK at a third to a half, so the
    estimate is high for both; a reservation made with it is settled by the reply's usage.
    """
    return -(-len(text.encode()) // 2)
