"""Formulas of models that have a token for each patch of an image.

Each class is one way to fit an image into the model's bounds before it is cut into patches of
``patch`` x ``patch`` pixels. ``tokens`` are the prompt tokens of an image of width x height pixels
at a detail; ``ratio`` is how far an image can be reduced without loss, because the model would
reduce it so far itself. Sources: the entries of models.toml that use the class.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor, sqrt
from typing import Literal

from core.catalog.scaling import WHOLE, Ratio, Size, within

ALMOST = 1e-9
"""What a product of square roots may lack of a whole number."""


@dataclass(frozen=True, slots=True)
class Bound:
    """``long``: pixels of the longer side at most; ``cap``: patches at most. None: no bound."""

    long: int | None = None
    cap: int | None = None


@dataclass(frozen=True, slots=True)
class Shrink:
    """OpenAI's: the longer side first, then the whole image until its patches are few enough. A
    patch takes ``multiplier`` tokens. Without bounds by detail, ``long`` and ``cap`` hold for all.
    """

    kind: Literal["shrink"]
    patch: int
    multiplier: float
    long: int | None = None
    cap: int | None = None
    low: Bound | None = None
    high: Bound | None = None
    original: Bound | None = None
    auto: Literal["low", "high", "original"] = "high"

    def tokens(self, width: int, height: int, detail: str) -> int:
        count = _patches(self._fitted(width, height, detail), self.patch)
        return ceil(round(count * self.multiplier, 6))

    def ratio(self, width: int, height: int, detail: str) -> Ratio:
        return within((width, height), self._fitted(width, height, detail))

    def _bound(self, detail: str) -> Bound:
        known = {"low": self.low, "high": self.high, "original": self.original}
        return known.get(detail) or known[self.auto] or Bound(self.long, self.cap)

    def _fitted(self, width: int, height: int, detail: str) -> Size:
        bound, patch = self._bound(detail), self.patch
        factor = min(1.0, (bound.long or max(width, height)) / max(width, height))
        width, height = max(1, round(width * factor)), max(1, round(height * factor))
        if bound.cap is None or _patches((width, height), patch) <= bound.cap:
            return width, height
        factor = sqrt(patch * patch * bound.cap / (width * height))
        across, down = width * factor / patch, height * factor / patch
        factor *= min(max(1, floor(across)) / across, max(1, floor(down)) / down)
        return max(1, floor(width * factor + ALMOST)), max(1, floor(height * factor + ALMOST))


@dataclass(frozen=True, slots=True)
class Largest:
    """Claude's: the largest image of at most ``long`` pixels whose patches are at most ``cap``."""

    kind: Literal["largest"]
    patch: int
    long: int
    cap: int

    def tokens(self, width: int, height: int, detail: str) -> int:
        return _patches(self._fitted(width, height), self.patch)

    def ratio(self, width: int, height: int, detail: str) -> Ratio:
        longest = max(width, height)
        return within((longest, longest), (max(self._fitted(width, height)),) * 2)

    def _fitted(self, width: int, height: int) -> Size:
        long, short = max(width, height), min(width, height)
        low, high = 1, min(long, self.long)
        while low < high:
            middle = (low + high + 1) // 2
            if _patches(_at_long(middle, long, short), self.patch) <= self.cap:
                low = middle
            else:
                high = middle - 1
        return _at_long(low, long, short)


def _at_long(edge: int, long: int, short: int) -> Size:
    return edge, max(1, round(short * edge / long))


@dataclass(frozen=True, slots=True)
class Round:
    """Qwen-VL's, also GLM-4.xV's and MiniMax's: both sides to the nearest multiple of a patch,
    within ``min_pixels`` and ``max_pixels``. ``grow``: a side under a patch is first enlarged.
    ``extra``: tokens around each image."""

    kind: Literal["round"]
    patch: int
    min_pixels: int
    max_pixels: int
    extra: int = 0
    grow: bool = False

    def tokens(self, width: int, height: int, detail: str) -> int:
        return _patches(self._fitted(width, height), self.patch) + self.extra

    def ratio(self, width: int, height: int, detail: str) -> Ratio:
        fitted = self._fitted(width, height)
        is_reduced = width * height > fitted[0] * fitted[1] >= self.min_pixels
        rounded = (_nearest(width, self.patch), _nearest(height, self.patch))
        return within((width, height), fitted) if is_reduced and fitted != rounded else WHOLE

    def _fitted(self, width: int, height: int) -> Size:
        patch = self.patch
        if self.grow and min(width, height) < patch:
            factor = max(patch / height, patch / width)
            width, height = int(width * factor), int(height * factor)
        across, down = _nearest(width, patch), _nearest(height, patch)
        if across * down > self.max_pixels:
            by = sqrt(width * height / self.max_pixels)
            across = max(patch, floor(width / by / patch) * patch)
            down = max(patch, floor(height / by / patch) * patch)
        elif across * down < self.min_pixels:
            by = sqrt(self.min_pixels / (width * height))
            across, down = ceil(width * by / patch) * patch, ceil(height * by / patch) * patch
        return across, down


def _nearest(side: int, patch: int) -> int:
    return round(side / patch) * patch


@dataclass(frozen=True, slots=True)
class Long:
    """Mistral's: the longer side. ``row_extra``: one token more at the end of each row."""

    kind: Literal["long"]
    patch: int
    long: int
    row_extra: bool = False

    def tokens(self, width: int, height: int, detail: str) -> int:
        by = max(width, height) / self.long
        if by > 1:
            width, height = max(1, floor(width / by)), max(1, floor(height / by))
        rows = ceil(height / self.patch) if self.row_extra else 0
        return _patches((width, height), self.patch) + rows

    def ratio(self, width: int, height: int, detail: str) -> Ratio:
        return within((width, height), (self.long, self.long))


@dataclass(frozen=True, slots=True)
class Navit:
    """Kimi's: ``cap`` counts the small patches of ``small`` pixels of which a patch is made, and
    ``side`` is the most of them along a side."""

    kind: Literal["navit"]
    patch: int
    small: int
    cap: int
    side: int

    def tokens(self, width: int, height: int, detail: str) -> int:
        return _patches(self._fitted(width, height), self.patch)

    def ratio(self, width: int, height: int, detail: str) -> Ratio:
        return within((width, height), self._fitted(width, height))

    def _fitted(self, width: int, height: int) -> Size:
        count = max(1, width // self.small) * max(1, height // self.small)
        most = self.side * self.small
        factor = min(1.0, sqrt(self.cap / count), most / width, most / height)
        return max(1, int(width * factor)), max(1, int(height * factor))


@dataclass(frozen=True, slots=True)
class Ceil:
    """GLM-5.3-Flash's: the largest height whose patches are at most ``cap``; ``min`` at least."""

    kind: Literal["ceil"]
    patch: int
    min: int
    cap: int
    extra: int = 0

    def tokens(self, width: int, height: int, detail: str) -> int:
        return _patches(self._fitted(width, height), self.patch) + self.extra

    def ratio(self, width: int, height: int, detail: str) -> Ratio:
        return within((width, height), self._fitted(width, height))

    def _fitted(self, width: int, height: int) -> Size:
        count = _patches((width, height), self.patch)
        if count < self.min:
            by = sqrt(self.min * self.patch * self.patch / (width * height))
            return ceil(width * by), ceil(height * by)
        if count <= self.cap:
            return width, height
        low, high = 1, height
        while low < high:
            middle = (low + high + 1) // 2
            if _patches((max(1, width * middle // height), middle), self.patch) <= self.cap:
                low = middle
            else:
                high = middle - 1
        return max(1, width * low // height), low


@dataclass(frozen=True, slots=True)
class Fill:
    """Gemma 4's and Gemini 3's: every image, also a small one, gets as many patches as fit."""

    kind: Literal["fill"]
    patch: int
    cap: int
    extra: int = 0

    def tokens(self, width: int, height: int, detail: str) -> int:
        across, down = self._grid(width, height)
        return across * down + self.extra

    def ratio(self, width: int, height: int, detail: str) -> Ratio:
        across, down = self._grid(width, height)
        return within((width, height), (across * self.patch, down * self.patch))

    def _grid(self, width: int, height: int) -> Size:
        factor = sqrt(self.cap * self.patch * self.patch / (width * height))
        across, down = floor(width * factor / self.patch), floor(height * factor / self.patch)
        if down == 0:
            return min(width // height, self.cap), 1
        if across == 0:
            return 1, min(height // width, self.cap)
        return across, down


def _patches(size: Size, patch: int) -> int:
    return ceil(size[0] / patch) * ceil(size[1] / patch)
