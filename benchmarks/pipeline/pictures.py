"""The benchmark's pictures: copies of a few photographs, each with a number in large blocks.

The number is in the pixels, so that two pictures still differ after preparation: equal bytes are
uploaded only once, and equal pixels count as a duplicate. A copy is not encoded again. Only a strip
at its top is, and it replaces the photograph's first rows of blocks (``restarts``). 6,000 pictures
of 12 megapixels take half a minute on two cores, and 9.1 GB.
"""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from PIL import Image

from benchmarks.pipeline import photographs, restarts
from benchmarks.pipeline.photographs import MODELS

BITS, COLUMNS = 18, 9
BLOCK_SHARE = 0.032
"""Share of the picture's width: 23 pixels when the picture is sent at 728 pixels."""
LIGHT, DARK = (250, 250, 250), (5, 5, 5)
SPARE_BYTES = 3_000_000_000
"""Disk space kept free for the jobs' folders and other programs."""


class NoRoom(Exception):
    """The disk has too little free space for a set."""

    def __init__(self, needed: int, free: int) -> None:
        super().__init__(f"{needed / 1e9:.1f} GB more needed, {free / 1e9:.1f} GB free")


def picture_set(folder: Path, count: int, side: int) -> Path:
    """A folder of ``count`` pictures, ``side`` pixels wide; made on first use and kept.

    Sets share files through hard links. Raises NoRoom.
    """
    chosen = folder / f"phone-{side}-{count}"
    if chosen.exists():
        return chosen
    stock = folder / f"phone-{side}"
    stock.mkdir(parents=True, exist_ok=True)
    _make(folder, stock, [n for n in range(count) if not (stock / _name(n)).exists()], side)
    part = chosen.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    for number in range(count):
        os.link(stock / _name(number), part / _name(number))
    part.rename(chosen)
    return chosen


def mean_bytes(pictures: Path) -> float:
    """Mean size of a file of the set."""
    sizes = [path.stat().st_size for path in pictures.iterdir()]
    return sum(sizes) / len(sizes)


def read(files: Iterable[Path]) -> None:
    """Read the files once, so that caches below the system (the host's, the disk's) are in the same
    state for the first measurement as for later ones."""
    for path in files:
        path.read_bytes()


def forget(files: Iterable[Path]) -> None:
    """Drop ``files`` from the page cache: a user's first run over a set reads it from the disk, so
    every measurement does the same."""
    for path in files:
        descriptor = os.open(path, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def _make(folder: Path, stock: Path, numbers: list[int], side: int) -> None:
    models = photographs.photographs(folder, side)
    needed = len(numbers) * sum(path.stat().st_size for path in models) // MODELS + SPARE_BYTES
    free = shutil.disk_usage(folder).free
    if numbers and needed > free:
        raise NoRoom(needed, free)
    shares = [[n for n in numbers if n % MODELS == index] for index in range(MODELS)]
    with ProcessPoolExecutor() as pool:
        for _ in pool.map(partial(numbered_copies, stock), models, shares):
            pass
    os.sync()  # otherwise the disk is still busy when the first row is measured


def numbered_copies(stock: Path, model: Path, numbers: list[int]) -> None:
    """The numbered copies of one photograph; moved into place whole."""
    below = restarts.parse(model.read_bytes())
    with Image.open(model) as image:
        top = image.crop((0, 0, image.width, 2 * block_pixels(image.width)))
    for number in numbers:
        part = stock / f"{_name(number)}.part"
        part.write_bytes(below.under(restarts.parse(_strip(top, number))))
        part.rename(stock / _name(number))


def _strip(top: Image.Image, number: int) -> bytes:
    """A JPEG of the photograph's top with the bits of ``number`` drawn on it, nine per line."""
    strip, block = top.copy(), block_pixels(top.width)
    for bit in range(BITS):
        row, column = divmod(bit, COLUMNS)
        left, upper = column * block, row * block
        colour = LIGHT if number >> bit & 1 else DARK
        strip.paste(colour, (left, upper, left + block, upper + block))
    out = io.BytesIO()
    photographs.save(strip, out)
    return out.getvalue()


def block_pixels(side: int) -> int:
    """A block's side: a multiple of the JPEG's own row height, so that a strip has full rows."""
    return restarts.ROW_PIXELS * max(1, round(side * BLOCK_SHARE / restarts.ROW_PIXELS))


def _name(number: int) -> str:
    return f"{number + 1:06d}.jpg"
