"""By how much a picture is reduced: ratios of whole numbers, so that no rounding adds up."""

from __future__ import annotations

Size = tuple[int, int]
"""Width and height in pixels."""
Ratio = tuple[int, int]
"""Numerator and denominator of a factor on both sides, at most 1."""
WHOLE: Ratio = (1, 1)


def within(size: Size, box: Size) -> Ratio:
    """The ratio at which ``size`` fits into ``box``."""
    return _at_most_whole(min(_ratios(size, box), key=_factor))


def covering(size: Size, box: Size) -> Ratio:
    """The ratio at which ``size`` still fills ``box`` in both directions."""
    return _at_most_whole(max(_ratios(size, box), key=_factor))


def scaled(size: Size, ratio: Ratio) -> Size:
    """``size`` reduced by ``ratio``, each side rounded to the nearest pixel and at least 1."""
    part, whole = ratio
    width, height = (max(1, (2 * side * part + whole) // (2 * whole)) for side in size)
    return width, height


def _ratios(size: Size, box: Size) -> list[Ratio]:
    return [(max(1, inner), outer) for outer, inner in zip(size, box, strict=True)]


def _factor(ratio: Ratio) -> float:
    return ratio[0] / ratio[1]


def _at_most_whole(ratio: Ratio) -> Ratio:
    return ratio if ratio[0] < ratio[1] else WHOLE
