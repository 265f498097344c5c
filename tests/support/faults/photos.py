"""Tiny JPEG files, all different, of a named colour each: cheap enough that faults set the pace."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from PIL import Image

BLOCK = 8
BITS = 24
GREEN, PURPLE = (40, 160, 60), (130, 30, 200)


def make_photos(folder: Path, count: int, purple: Collection[int] = (), first: int = 1) -> Path:
    """``count`` green pictures in ``folder``, those at the positions in ``purple`` purple.

    A picture's number, from ``first`` on, is drawn into it, so that the same number is the same
    content in every folder and two numbers never are.
    """
    folder.mkdir(parents=True)
    for position in range(1, count + 1):
        colour = PURPLE if position in purple else GREEN
        picture = _picture(first + position - 1, colour)
        picture.save(folder / f"{position:05d}.jpg", quality=90)
    return folder


def _picture(number: int, colour: tuple[int, int, int]) -> Image.Image:
    """``number`` in binary, as blocks a little lighter than the ground."""
    picture = Image.new("RGB", (BITS // 3 * BLOCK, 6 * BLOCK), colour)
    light = tuple(min(255, channel + 40) for channel in colour)
    for bit in range(BITS):
        if number >> bit & 1:
            row, column = divmod(bit, BITS // 3)
            left, top = column * BLOCK, row * BLOCK
            picture.paste(light, (left, top, left + BLOCK, top + BLOCK))
    return picture
