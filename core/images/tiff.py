"""The directories of a TIFF file, and of camera files that are built like one, without decoding."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

MAX_DIRECTORIES = 200
MAX_ENTRIES = 2_000
MAX_VALUES = 1_000_000
"""Of all tags together: a huge picture in small tiles has so many offsets."""

WIDTH, HEIGHT, COMPRESSION, PHOTOMETRIC = 256, 257, 259, 262
STRIPS, TILES = 273, 324
ORIENTATION, SUB_DIRECTORIES, SUBFILE_TYPE = 274, 330, 254
REDUCED, MASK = 1, 4
"""Bits of SUBFILE_TYPE: a smaller version of another picture; a mask."""

BITS, PREDICTOR, SAMPLES, SAMPLE_FORMAT = 258, 317, 277, 339
COMPRESSIONS = {
    1: "uncompressed",
    2: "fax",
    3: "fax",
    4: "fax",
    5: "LZW",
    6: "JPEG",
    7: "JPEG",
    8: "deflate",
    32946: "deflate",
    32773: "PackBits",
    34661: "JBIG",
    34676: "LogLuv",
    34677: "LogLuv",
    33003: "JPEG 2000",
    33004: "JPEG 2000",
    33005: "JPEG 2000",
    34712: "JPEG 2000",
    34887: "LERC",
    34925: "LZMA",
    50000: "Zstandard",
    50001: "WebP",
    50002: "JPEG XL",
    52546: "JPEG XL",
}
"""Names of compressions. Source: the tags of TIFF that the Library of Congress and libtiff list."""
COLOURS = {
    0: "gray",
    1: "gray",
    2: "RGB",
    3: "palette",
    4: "mask",
    5: "CMYK",
    6: "YCbCr",
    8: "CIELab",
    9: "ICC Lab",
    10: "ITU Lab",
    32844: "LogL",
    32845: "LogLuv",
}
FORMATS = {1: "integers", 2: "signed integers", 3: "floats", 5: "complex integers"}
FORMATS |= {6: "complex floats"}
PREDICTED = {2: "differences", 3: "differences of floats"}

BIG = 43
_ORDERS = {b"II": "<", b"MM": ">"}
_INTEGERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
"""Types of values: BYTE, SHORT, LONG, IFD, LONG8, IFD8. Others are not read."""


@dataclass(frozen=True, slots=True)
class Directory:
    """One picture's tags with their integers. ``is_page``: reached without SubIFDs."""

    tags: dict[int, tuple[int, ...]]
    is_page: bool

    def one(self, tag: int, missing: int = 0) -> int:
        return (self.tags.get(tag) or (missing,))[0]

    @property
    def size(self) -> tuple[int, int]:
        return self.one(WIDTH), self.one(HEIGHT)

    @property
    def parts(self) -> tuple[int, ...]:
        """The offsets of its strips or tiles."""
        return self.tags.get(TILES) or self.tags.get(STRIPS, ())


def described(page: Directory) -> str:
    """What kind of TIFF it is, in words; empty if it says nothing about its pixels."""
    if 0 in page.size or not page.parts:
        return ""
    bits, formats = page.tags.get(BITS, (1,)), page.tags.get(SAMPLE_FORMAT, (1,))
    kinds = " and ".join(dict.fromkeys(FORMATS.get(kind, f"format {kind}") for kind in formats))
    sizes = " and ".join(dict.fromkeys(map(str, bits)))
    colour, packing = page.one(PHOTOMETRIC, 1), page.one(COMPRESSION, 1)
    said = [COLOURS.get(colour, f"colours of kind {colour}")]
    said.append(COMPRESSIONS.get(packing, f"compression {packing}"))
    said += [PREDICTED[kind]] if (kind := page.one(PREDICTOR, 1)) in PREDICTED else []
    count = page.one(SAMPLES, 1)
    return f"a TIFF of {count} x {sizes}-bit {kinds} ({', '.join(said)})"


def directories(file: BinaryIO, start: int = 0) -> list[Directory]:
    """All directories that can be read, the pages first; ``start``: where the TIFF begins.

    What is malformed or leads in a circle is left out. Raises OSError.
    """
    file.seek(start)
    head = file.read(16)
    order = _ORDERS.get(head[:2])
    if order is None or len(head) < 8:
        return []
    big = struct.unpack_from(order + "H", head, 2)[0] == BIG
    layout, at = ("Q", 8) if big else ("I", 4)
    first = int(struct.unpack_from(order + layout, head.ljust(16, b"\0"), at)[0])
    return list(_Walk(file, start, order, big).run(first))


@dataclass(slots=True)
class _Walk:
    file: BinaryIO
    start: int
    order: str
    big: bool
    values_left: int = MAX_VALUES

    def run(self, first: int) -> Iterator[Directory]:
        seen: set[int] = set()
        waiting = [(first, True)]
        while waiting and len(seen) < MAX_DIRECTORIES:
            at, is_page = waiting.pop(0)
            if at == 0 or at in seen:
                continue
            seen.add(at)
            try:
                tags, following = self._read(at)
            except struct.error:  # the file ends here
                continue
            waiting.insert(0, (following, is_page))
            waiting += [(inner, False) for inner in tags.get(SUB_DIRECTORIES, ())]
            yield Directory(tags, is_page)

    def _read(self, at: int) -> tuple[dict[int, tuple[int, ...]], int]:
        """A directory's tags, and the offset of the next one."""
        count = self._unpacked(at, "Q" if self.big else "H")[0]
        layout, size = ("HHQ8s", 20) if self.big else ("HHI4s", 12)
        at += 8 if self.big else 2
        tags: dict[int, tuple[int, ...]] = {}
        for entry in range(min(count, MAX_ENTRIES)):
            tag, kind, number, inline = self._unpacked(at + entry * size, layout)
            if kind in _INTEGERS and 0 < number <= self.values_left:
                self.values_left -= number
                tags[tag] = self._values(f"{number}{_INTEGERS[kind]}", inline)
        following = self._unpacked(at + count * size, "Q" if self.big else "I")
        return tags, int(following[0])

    def _values(self, layout: str, inline: bytes) -> tuple[int, ...]:
        """The values of an entry: in it, if they fit, else where it says."""
        if struct.calcsize(self.order + layout) <= len(inline):
            return struct.unpack_from(self.order + layout, inline)
        offset = struct.unpack(self.order + ("Q" if self.big else "I"), inline)[0]
        try:
            return self._unpacked(offset, layout)
        except struct.error:
            return ()

    def _unpacked(self, at: int, layout: str) -> tuple[Any, ...]:
        if at >= 1 << 62:
            raise struct.error("an absurd offset")
        self.file.seek(self.start + at)
        size = struct.calcsize(self.order + layout)
        return struct.unpack(self.order + layout, self.file.read(size))
