"""Pictures to ask about: copies of a few photographs, each with a number in large blocks.

The number is in the pixels, so that two pictures differ after they are prepared, too: the same
bytes would be uploaded once, the same pixels found as a duplicate. A copy is not encoded anew: only
a strip at its top is, and takes the place of the photograph's first rows of blocks (``restarts``).
6,000 pictures of 12 megapixels are made in half a minute on two cores, and take 9.1 GB.
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
"""Of the picture's width: 23 pixels where the picture is sent at 728."""
LIGHT, DARK = (250, 250, 250), (5, 5, 5)
SPARE_BYTES = 3_000_000_000
"""Left free on the disk beside the pictures: the jobs' own folders, and everybody else."""


class NoRoom(Exception):
    """The disk has not the bytes for a set."""

    def __init__(self, needed: int, free: int) -> None:
        super().__init__(f"{needed / 1e9:.1f} GB more needed, {free / 1e9:.1f} GB free")


def picture_set(folder: Path, count: int, side: int) -> Path:
    """A folder of ``count`` pictures, ``side`` pixels wide; made on first use, then kept.

    Sets share their files: a smaller one is links to the first of the largest. Raises NoRoom.
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
    """Of a file of the set."""
    sizes = [path.stat().st_size for path in pictures.iterdir()]
    return sum(sizes) / len(sizes)


def read(files: Iterable[Path]) -> None:
    """Read them once, so that what lies under the system (a host's cache, a disk's own) is the same
    for whoever is measured first as for all after it."""
    for path in files:
        path.read_bytes()


def forget(files: Iterable[Path]) -> None:
    """Let the system drop what it holds of ``files``: whoever asks about a set for the first time
    reads it from the disk, so every measurement does."""
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
    os.sync()  # else the disk is still being written to when the first row is measured


def numbered_copies(stock: Path, model: Path, numbers: list[int]) -> None:
    """The numbered copies of one photograph; moved into place whole."""
    below = restarts.parse(model.read_bytes())
    with Image.open(model) as found:
        top = found.crop((0, 0, found.width, 2 * block_pixels(found.width)))
    for number in numbers:
        part = stock / f"{_name(number)}.part"
        part.write_bytes(below.under(restarts.parse(_strip(top, number))))
        part.rename(stock / _name(number))


def _strip(top: Image.Image, number: int) -> bytes:
    """A JPEG of the photograph's top with the bits of ``number`` over it, nine a line."""
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
    """A block's side: whole rows of the JPEG's own blocks, so that a strip ends with one."""
    return restarts.ROW_PIXELS * max(1, round(side * BLOCK_SHARE / restarts.ROW_PIXELS))


def _name(number: int) -> str:
    return f"{number + 1:06d}.jpg"
