"""Tiny JPEG files, all different, each of a named colour: too cheap to slow down the rows."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from PIL import Image

BLOCK = 8
BITS = 24
SIZES = 40
GREEN, PURPLE = (40, 160, 60), (130, 30, 200)


def make_photos(folder: Path, count: int, purple: Collection[int] = (), first: int = 1) -> Path:
    """Make ``count`` green pictures in ``folder``; those at the positions ``purple`` are purple.

    Each picture shows its number, counted from ``first``, and has a size of its own, which the
    sandbox's model tells them apart by. So equal numbers have equal content in every folder, and
    different numbers never do.
    """
    folder.mkdir(parents=True)
    for position in range(1, count + 1):
        colour = PURPLE if position in purple else GREEN
        picture = _picture(first + position - 1, colour)
        picture.save(folder / f"{position:05d}.jpg", quality=90)
    return folder


def _picture(number: int, colour: tuple[int, int, int]) -> Image.Image:
    """``number`` in binary, as blocks a little lighter than the background."""
    size = (BITS // 3 * BLOCK + number % SIZES, 6 * BLOCK + number // SIZES)
    picture = Image.new("RGB", size, colour)
    light = tuple(min(255, channel + 40) for channel in colour)
    for bit in range(BITS):
        if number >> bit & 1:
            row, column = divmod(bit, BITS // 3)
            left, top = column * BLOCK, row * BLOCK
            picture.paste(light, (left, top, left + BLOCK, top + BLOCK))
    return picture
