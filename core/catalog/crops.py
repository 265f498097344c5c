"""Formulas of models that cut an image into tiles, or count every image alike.

``tokens`` and ``ratio`` as in core/catalog/patches.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import ceil, floor
from typing import Literal

from core.catalog.scaling import Ratio, Size, covering, within

LOW_SIDE = 512
"""Longer side of what OpenAI's models see at low detail (its guide on images)."""
ALMOST = 1e-6


@dataclass(frozen=True, slots=True)
class Tiles:
    """OpenAI's older models: the longer side to ``long``, then the shorter one to ``short``."""

    kind: Literal["tiles"]
    tile: int
    long: int
    short: int
    base: int
    each: int
    low: int

    def tokens(self, width: int, height: int, detail: str) -> int:
        if detail == "low":
            return self.low
        across, down = self._fitted(width, height)
        return self.base + self.each * ceil(across / self.tile) * ceil(down / self.tile)

    def ratio(self, width: int, height: int, detail: str) -> Ratio:
        box = (LOW_SIDE, LOW_SIDE) if detail == "low" else self._fitted(width, height)
        return within((width, height), box)

    def _fitted(self, width: int, height: int) -> Size:
        factor = min(1.0, self.long / max(width, height))
        factor *= min(1.0, self.short / (min(width, height) * factor))
        return max(1, floor(width * factor + ALMOST)), max(1, floor(height * factor + ALMOST))


@dataclass(frozen=True, slots=True)
class Units:
    """Gemini 2's: small images are one unit; others are cut into squares of two thirds of the
    shorter side. ``side``: the longest shorter side of which the model sees all pixels."""

    kind: Literal["units"]
    small: int
    each: int
    side: int

    def tokens(self, width: int, height: int, detail: str) -> int:
        if max(width, height) <= self.small:
            return self.each
        unit = max(1, floor(min(width, height) / 1.5))
        return self.each * ceil(width / unit) * ceil(height / unit)

    def ratio(self, width: int, height: int, detail: str) -> Ratio:
        return covering((width, height), (self.side, self.side))


@dataclass(frozen=True, slots=True)
class Aspect:
    """InternVL's and DeepSeek-OCR-2's: the grid of ``min`` to ``max`` tiles of nearest shape.

    ``whole``: tokens of a view of the whole image beside the tiles; ``whole_if_many``: not beside
    a single tile. ``skip_below``: an image that is no larger has the whole view alone.
    """

    kind: Literal["aspect"]
    tile: int
    min: int
    max: int
    each: int
    whole: int
    whole_if_many: bool = False
    skip_below: int = 0
    extra: int = 0

    def tokens(self, width: int, height: int, detail: str) -> int:
        across, down = self._grid(width, height)
        count = 0 if self._is_skipped(width, height) else across * down
        view = 0 if count == 1 and self.whole_if_many else self.whole
        return count * self.each + view + self.extra

    def ratio(self, width: int, height: int, detail: str) -> Ratio:
        across, down = self._grid(width, height)
        return covering((width, height), (across * self.tile, down * self.tile))

    def _is_skipped(self, width: int, height: int) -> bool:
        return max(width, height) <= self.skip_below

    def _grid(self, width: int, height: int) -> Size:
        return nearest_grid((width, height), self.tile, self.min, self.max)


@dataclass(frozen=True, slots=True)
class Pages:
    """Phi-4's: as many tiles as the image covers, at most ``max``. An upper bound, because rows and
    columns that only pad the last tiles cost nothing. ``row``: tokens of each row of tiles."""

    kind: Literal["pages"]
    tile: int
    max: int
    each: int
    row: int
    extra: int = 0

    def tokens(self, width: int, height: int, detail: str) -> int:
        across, down = self._grid(width, height)
        return across * down * self.each + down * self.row + self.extra

    def ratio(self, width: int, height: int, detail: str) -> Ratio:
        across, down = self._grid(width, height)
        return within((width, height), (across * self.tile, down * self.tile))

    def _grid(self, width: int, height: int) -> Size:
        across, down = ceil(width / self.tile), ceil(height / self.tile)
        if across * down <= self.max:
            return across, down
        return nearest_grid((width, height), self.tile, 1, self.max)


@dataclass(frozen=True, slots=True)
class Canvas:
    """Llama 4's: the canvas of up to ``max`` tiles on which the image is largest, and of those that
    do not enlarge it less than another the smallest. Tiles have marks between them."""

    kind: Literal["canvas"]
    tile: int
    max: int
    each: int
    extra: int = 0

    def tokens(self, width: int, height: int, detail: str) -> int:
        across, down = self._grid(width, height)
        if across * down == 1:
            return self.each + self.extra
        marks = down * (across - 1) + down
        return across * down * self.each + marks + self.each + self.extra

    def ratio(self, width: int, height: int, detail: str) -> Ratio:
        across, down = self._grid(width, height)
        return within((width, height), (across * self.tile, down * self.tile))

    def _grid(self, width: int, height: int) -> Size:
        scales = {
            grid: min(grid[0] * self.tile / width, grid[1] * self.tile / height)
            for grid in _grids(1, self.max)
        }
        enlarging = [scale for scale in scales.values() if scale >= 1]
        best = min(enlarging) if enlarging else max(scales.values())
        return min((g for g, scale in scales.items() if scale == best), key=lambda g: g[0] * g[1])


@dataclass(frozen=True, slots=True)
class Fixed:
    """Every image takes ``each`` tokens, and is seen as a square of ``side`` pixels."""

    kind: Literal["fixed"]
    each: int
    side: int

    def tokens(self, width: int, height: int, detail: str) -> int:
        return self.each

    def ratio(self, width: int, height: int, detail: str) -> Ratio:
        return covering((width, height), (self.side, self.side))


def nearest_grid(size: Size, tile: int, fewest: int, most: int) -> Size:
    """The grid of ``fewest`` to ``most`` tiles whose shape is nearest to that of ``size``: of equal
    ones the larger, if the image has more than half of its pixels."""
    width, height = size
    best, distance = (1, 1), float("inf")
    for grid in _grids(fewest, most):
        off = abs(width / height - grid[0] / grid[1])
        is_filled = width * height > 0.5 * tile * tile * grid[0] * grid[1]
        if off < distance or (off == distance and is_filled):
            best, distance = grid, off
    return best


@cache
def _grids(fewest: int, most: int) -> tuple[Size, ...]:
    sides = range(1, most + 1)
    grids = [(a, b) for a in sides for b in sides if fewest <= a * b <= most]
    return tuple(sorted(grids, key=lambda grid: grid[0] * grid[1]))
