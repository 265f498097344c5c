"""How the values of deep pictures (over 8 bits a channel) become black and white.

Cameras and scanners store 10, 12 or 14 bits in files of 16, mostly without saying so. Taken as 16
bits, such a picture is black.
"""

from __future__ import annotations

LADDER = (255, 1_023, 4_095, 16_383, 65_535)
"""White in data of 8, 10, 12, 14 and 16 bits."""
FAINT = 64
"""Values under this are no brightness of 8 bits: numbers of classes, counts."""
FAINT_FRACTION = 0.25
USUAL = {"I;16": (65_535.0,), "I": (255.0, 65_535.0), "F": (1.0, 255.0, 65_535.0)}
"""White by mode: 16 bits, integers of 32 bits, floats."""


def levels(low: float, high: float, mode: str) -> tuple[float, float]:
    """The values of black and white for data from ``low`` to ``high``.

    ``mode``: one of USUAL; white of floats is mostly 1.
    """
    if low < 0:
        return low, high
    if mode == "F" and FAINT_FRACTION <= high <= 1:
        return 0.0, 1.0
    if high < FAINT or high > LADDER[-1]:
        return 0.0, high
    return 0.0, float(next(top for top in LADDER if high <= top))


def remark(black: float, white: float, mode: str) -> str:
    """What to tell about these levels; empty if they are usual ones for the mode."""
    if black < 0:
        return f"its values from {black:g} to {white:g} are spread from black to white"
    if white <= 0 or white in USUAL[mode]:
        return ""
    if white in LADDER:
        return f"brightened: its values are those of {int(white).bit_length()}-bit data"
    return f"brightened: its largest value, {white:g}, is shown as white"
