"""Pictures of few bytes, each with a content of its own, made as fast as the disk takes them."""

from __future__ import annotations

import itertools
import struct
import zlib
from pathlib import Path

SIZES = ((32, 32), (96, 64))
"""Two: the service learns how a model counts from sizes that differ."""
A_FOLDER = 2_000
_HEAD = b"\x89PNG\r\n\x1a\n"


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


_STARTS = [_HEAD + _chunk(b"IHDR", struct.pack(">IIBBBBB", *size, 8, 0, 0, 0, 0)) for size in SIZES]
_END = _chunk(b"IEND", b"")


def picture(number: int) -> bytes:
    """A grey PNG; its first row says ``number``."""
    kind, shade = number % len(SIZES), bytes([number % 199 + 28])
    width, height = SIZES[kind]
    first = struct.pack(">IQ", 0x5CA1E000, number).ljust(width, shade)
    rows = b"\0" + first + (b"\0" + shade * width) * (height - 1)
    return _STARTS[kind] + _chunk(b"IDAT", zlib.compress(rows, 1)) + _END


def make(folder: Path, first: int, count: int) -> None:
    """``count`` pictures from number ``first`` in folders of at most A_FOLDER."""
    numbers = iter(range(first, first + count))
    for part in itertools.count():
        some = list(itertools.islice(numbers, A_FOLDER))
        if not some:
            return
        place = folder / f"{part:04d}"
        place.mkdir(parents=True)
        for number in some:
            (place / f"{number:08d}.png").write_bytes(picture(number))
