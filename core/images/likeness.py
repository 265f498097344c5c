"""What is kept of a picture to tell whether another one is nearly the same, and how two compare.

A difference hash (dHash: Krawetz, "Kind of Like That", hackerfactor.com, 2013; here of 16 x 16
bits) finds candidates. It sees neither a changed number nor another colour, so two finer checks
follow. Every cell of a grid of brightness must lie in the range that the cell and its neighbours
span in the other picture (a tolerance to small shifts, as the envelope of LB_Keogh is for series:
Keogh and Ratanamahatana 2005), and the colours must agree. A page of text is never like another
one: a changed digit is smaller than what a hand's shake changes. All thresholds were chosen by
``make bench-similar``, which measures what they cost (docs/similar.md).
"""

from __future__ import annotations

import base64
import binascii
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import accumulate
from operator import lt, mul, sub
from typing import Any

HASH_SIDE = 16
"""Rows of the hash, and bits in each."""
GRID = 24
"""Cells of brightness and of detail along each side."""
HUES = 8
"""Cells of colour along each side."""
_CELLS, _HUES, _SIDE = GRID * GRID, HUES * HUES, GRID // HUES

HASH_BITS_MAX = 72
"""Of 256 bits. Independent pictures differ in about 128, with a deviation of 8 or more."""
CONTRAST_MAX = 1.5
"""The most by which one picture's contrast may exceed the other's."""
BESIDE_MAX = 15.0
"""Levels (0 to 255) that a cell may lie outside the range of its neighbours."""
CELLS_BESIDE_MAX = 14
"""Cells that may lie further outside, in each direction: something small moved."""
HUE_MAX, HUES_BESIDE_MAX = 11.0, 4
"""Levels that the colour of a cell may differ, after the mean difference is taken away, and the
cells that may differ more."""
HUE_SHIFT_MAX = 10.0
"""The mean difference of colours that a camera's white balance makes from shot to shot."""
TEXTURED, STEADY = 16.0, 0.035
"""Where cells that span TEXTURED levels differ by less than the share STEADY of what they span (in
the middle case), the camera stood still."""
CHANGED_MAX, CHANGED_SHARE_MAX = 12.0, 0.2
"""A cell that then differs by more levels, and by a larger share of what it spans, shows another
thing, such as a number: a camera that moved by a hair changes each edge by a small share of it."""
COPY_BITS_MAX, COPY_MAX = 24, 4.0
"""Of a copy: bits of the hash, and levels of a cell."""


@dataclass(frozen=True, slots=True)
class Likeness:
    """``hash``: 64 hex digits. ``cells``: base64 of bytes: GRID x GRID of brightness, as many of
    detail (mean difference of neighbours), HUES x HUES of Cb and of Cr, each row by row.
    ``sharpness``: variance of the Laplacian in the middle. ``pixels``: of the source. ``taken``:
    the camera's clock in seconds since 1970 as if it ran by UTC; None: the file does not say."""

    hash: str
    cells: str
    sharpness: float
    pixels: int
    taken: float | None = None

    @classmethod
    def from_json(cls, values: Any) -> Likeness | None:
        """What a row or a decoding process says; None if it is not whole."""
        try:
            found = cls(**values)
            whole = len(_bytes(found.cells)) == 2 * _CELLS + 2 * _HUES
            if whole and int(found.hash, 16) >= 0 and len(found.hash) == HASH_SIDE**2 // 4:
                taken = None if found.taken is None else float(found.taken)
                return cls(
                    found.hash, found.cells, float(found.sharpness), int(found.pixels), taken
                )
        except (TypeError, ValueError, binascii.Error):
            pass
        return None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def made_of(
    hash_cells: bytes, cells: bytes, sharpness: float, pixels: int, taken: float | None
) -> Likeness:
    """``hash_cells``: HASH_SIDE rows of HASH_SIDE + 1 levels. A bit says that a level is lower than
    its neighbour on the right."""
    wide = HASH_SIDE + 1
    rows = [hash_cells[start : start + wide] for start in range(0, HASH_SIDE * wide, wide)]
    lower = (map(lt, row, row[1:]) for row in rows)
    bits = int("".join("01"[bit] for row in lower for bit in row), 2)
    text = base64.b64encode(cells).decode()
    return Likeness(f"{bits:0{HASH_SIDE**2 // 4}x}", text, round(sharpness, 2), pixels, taken)


def bits_apart(a: Likeness, b: Likeness) -> int:
    """How many of the 256 bits of two hashes differ."""
    return (int(a.hash, 16) ^ int(b.hash, 16)).bit_count()


def is_alike(a: Likeness, b: Likeness) -> bool:
    """Whether two pictures show the same scene from the same place at nearly the same moment."""
    if bits_apart(a, b) > HASH_BITS_MAX:
        return False
    first, second = _seen(a.cells), _seen(b.cells)
    if not _same_colours(first, second) or first.is_page or second.is_page:
        return False
    gain = first.contrast / second.contrast
    if not 1 / CONTRAST_MAX <= gain <= CONTRAST_MAX:
        return False
    leveled = [level * gain for level in second.brightness]
    spans = _spans(a.cells)
    return (
        _beside(leveled, spans, 1.0) <= CELLS_BESIDE_MAX
        and _beside(first.brightness, _spans(b.cells), gain) <= CELLS_BESIDE_MAX
        and not _differ_in_one_place(first, leveled, spans)
    )


def is_copy(a: Likeness, b: Likeness) -> bool:
    """The stricter comparison, for pictures of which nobody knows when they were taken: the same
    pixels, encoded in another way."""
    if bits_apart(a, b) > COPY_BITS_MAX:
        return False
    first, second = _seen(a.cells), _seen(b.cells)
    if not _same_colours(first, second) or first.is_page or second.is_page:
        return False
    apart = map(sub, first.brightness, second.brightness)
    return all(-COPY_MAX <= levels <= COPY_MAX for levels in apart)


@dataclass(frozen=True, slots=True)
class _Seen:
    """The cells of a picture, and what was computed of them."""

    brightness: list[float]  # with mean 0
    contrast: float
    blue: bytes
    red: bytes
    is_page: bool


def _bytes(cells: str) -> bytes:
    return base64.b64decode(cells, validate=True)


@lru_cache(maxsize=1024)
def _seen(cells: str) -> _Seen:
    data = _bytes(cells)
    levels, detail = data[:_CELLS], data[_CELLS : 2 * _CELLS]
    blue, red = data[2 * _CELLS : 2 * _CELLS + _HUES], data[2 * _CELLS + _HUES :]
    middle = sum(levels) / _CELLS
    brightness = [level - middle for level in levels]
    return _Seen(
        brightness=brightness,
        contrast=max(math.sqrt(sum(map(mul, brightness, brightness)) / _CELLS), 1.0),
        blue=blue,
        red=red,
        is_page=is_page(levels, detail, blue, red),
    )


Spans = tuple[Sequence[float], Sequence[float]]


@lru_cache(maxsize=256)
def _spans(cells: str) -> Spans:
    """The least and the most of each cell and its 8 neighbours."""
    brightness = _seen(cells).brightness
    return _around(brightness, min), _around(brightness, max)


def _around(cells: Sequence[float], choose: Callable[[float, float, float], float]) -> list[float]:
    """``choose`` (min or max) of each cell and its neighbours."""
    rows = [list(cells[start : start + GRID]) for start in range(0, _CELLS, GRID)]
    across = [list(map(choose, row, [row[0], *row], [*row[1:], row[-1]])) for row in rows]
    above, below = [across[0], *across], [*across[1:], across[-1]]
    return [
        cell
        for row, up, down in zip(across, above, below, strict=False)
        for cell in map(choose, row, up, down)
    ]


def _beside(levels: Sequence[float], spans: Spans, gain: float) -> int:
    """How many cells lie outside ``spans``, of the other picture, with ``gain``."""
    over = map(sub, levels, (high * gain for high in spans[1]))
    under = map(sub, (low * gain for low in spans[0]), levels)
    return sum(map(BESIDE_MAX.__lt__, over)) + sum(map(BESIDE_MAX.__lt__, under))


def _differ_in_one_place(a: _Seen, leveled: Sequence[float], spans: Spans) -> bool:
    """Whether the camera stood still and something in view is another."""
    apart = list(map(abs, map(sub, a.brightness, leveled)))
    if max(apart) <= CHANGED_MAX:
        return False
    wide = list(map(sub, spans[1], spans[0]))
    pairs = list(zip(apart, wide, strict=True))
    if not any(d > CHANGED_MAX and d > CHANGED_SHARE_MAX * span for d, span in pairs):
        return False
    shares = [difference / span for difference, span in pairs if span >= TEXTURED]
    return sum(map(STEADY.__gt__, shares)) > len(shares) / 2


def _same_colours(a: _Seen, b: _Seen) -> bool:
    return _same_hues(a.blue, b.blue) and _same_hues(a.red, b.red)


def _same_hues(a: bytes, b: bytes) -> bool:
    shift = (sum(a) - sum(b)) / _HUES
    beside = sum(abs(one - other - shift) > HUE_MAX for one, other in zip(a, b, strict=True))
    return abs(shift) <= HUE_SHIFT_MAX and beside <= HUES_BESIDE_MAX


NEUTRAL = 18
"""Levels by which the colour of paper in any light differs from gray."""
PAPER = 0.5
"""Paper is at least this bright, as a share of the brightest cells (shadows fall on it)."""
PLAIN = 14
"""Levels of colour by which paper differs from the brightest cells' colour."""
NEAR, EQUAL = 5, 1
"""Levels by which cells of one plain ground differ in a photograph, and on a screen."""
WRITTEN = 9
"""Mean difference of neighbours in a cell with writing."""
GROUND_MAX, SCREEN_MAX, PAPER_MAX, WRITTEN_MAX = 0.28, 0.4, 0.5, 0.06
"""Shares of all cells: of a plain ground in a photograph and on a screen, of paper, of writing."""


def is_page(levels: bytes, detail: bytes, blue: bytes, red: bytes) -> bool:
    """Whether a picture looks like a page, a screen, or things on a plain ground: what counts there
    is smaller than a cell. So it is if much of it has one brightness, or if much of it is as bright
    as paper, without colour, and a part of that has fine detail."""
    if _most_alike(levels, EQUAL) >= SCREEN_MAX * _CELLS:
        return True
    gray = [levels[index] for index in _cells_of((128, 128), blue, red)]
    if _most_alike(gray, NEAR) >= GROUND_MAX * _CELLS:
        return True
    hue = _brightest_hue(levels, blue, red)
    if max(abs(part - 128) for part in hue) > NEUTRAL:
        return False
    plain = _cells_of(hue, blue, red)
    white = sorted(levels)[-_CELLS // 20]
    paper = [index for index in plain if levels[index] >= PAPER * white]
    written = sum(detail[index] >= WRITTEN for index in paper)
    return len(paper) >= PAPER_MAX * _CELLS and written >= WRITTEN_MAX * _CELLS


def _most_alike(levels: Sequence[int], near: int) -> int:
    """The most cells whose levels are within ``near`` of one level."""
    counts = Counter(levels)
    below = list(accumulate((counts[level] for level in range(256)), initial=0))
    wide = 2 * near + 1
    return max(high - low for low, high in zip(below, below[wide:], strict=False))


def _brightest_hue(levels: bytes, blue: bytes, red: bytes) -> tuple[int, int]:
    """The colour of the brightest eighth of the cells of colour."""
    light = [sum(map(levels.__getitem__, cells)) for cells in _CELLS_OF]
    brightest = sorted(range(_HUES), key=light.__getitem__)[-_HUES // 8 :]
    return _middle(blue[cell] for cell in brightest), _middle(red[cell] for cell in brightest)


def _middle(values: Iterable[int]) -> int:
    ordered = sorted(values)
    return ordered[len(ordered) // 2]


def _cells_of(hue: tuple[int, int], blue: bytes, red: bytes) -> list[int]:
    """The cells of brightness with about the colour ``hue``."""
    return [
        index
        for cells, one, other in zip(_CELLS_OF, blue, red, strict=True)
        if abs(one - hue[0]) <= PLAIN and abs(other - hue[1]) <= PLAIN
        for index in cells
    ]


_CELLS_OF = [
    [(row * _SIDE + y) * GRID + column * _SIDE + x for y in range(_SIDE) for x in range(_SIDE)]
    for row in range(HUES)
    for column in range(HUES)
]
"""The cells of brightness in each cell of colour."""
