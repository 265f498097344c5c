"""A JPEG as rows of blocks that stand for themselves, so that some can be changed for another's.

With a restart marker after every row of blocks (MCUs: 16 x 16 pixels at 4:2:0) no row needs the one
above it: predictions begin anew, and markers are numbered 0 to 7 by place. So the first rows of one
JPEG may be the first rows of another that has the same width and tables: a new picture for the
price of copying bytes.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

ROW_PIXELS = 16
"""Height of a row of blocks with chroma at half size, as cameras store it."""
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
"""In coded data every other 0xFF is followed by 0x00, so this is a marker wherever it stands."""
_START, _END, _FRAME, _SCAN = b"\xff\xd8", b"\xff\xd9", 0xC0, 0xDA
_HEIGHT = 5
"""Bytes from a frame's marker to its height: the marker, the length, the precision."""


@dataclass(frozen=True, slots=True)
class Restarts:
    """``head`` is all before the coded data, ``rows`` the coded rows without their markers."""

    head: bytes
    height: int  # pixels
    rows: tuple[bytes, ...]

    @property
    def tables(self) -> bytes:
        """The head without the height: what two pictures must share to lend each other rows."""
        return self.head.replace(_frame_to_height(self.head), b"", 1)

    def under(self, top: Restarts) -> bytes:
        """A whole file: the rows of ``top``, and under them its own.

        Raises ValueError where width, sampling or tables differ.
        """
        if top.tables != self.tables or len(top.rows) > len(self.rows):
            raise ValueError("the two have not the same width and tables")
        coded = [*top.rows, *self.rows[len(top.rows) :]]
        marked = [row + bytes((0xFF, 0xD0 + at % 8)) for at, row in enumerate(coded[:-1])]
        return b"".join((self.head, *marked, coded[-1], _END))


def parse(data: bytes) -> Restarts:
    """Take a baseline JPEG of one scan apart. Raises ValueError where its rows cannot be told."""
    frame, coded = _places(data)
    (height,) = struct.unpack_from(">H", data, frame + _HEIGHT)
    rows = tuple(_RESTART.split(data[coded : -len(_END)]))
    if not data.endswith(_END) or len(rows) != -(-height // ROW_PIXELS):
        raise ValueError(f"{height} pixels in {len(rows)} rows: not one marker a row of blocks")
    return Restarts(data[:coded], height, rows)


def _places(data: bytes) -> tuple[int, int]:
    """Where the frame's marker stands, and where the coded data begins."""
    frame, at = 0, len(_START)
    while at < len(data):
        marker, size = struct.unpack_from(">xBH", data, at)
        if marker == _FRAME:
            frame = at
        at += 2 + size
        if marker == _SCAN and frame:
            return frame, at
    raise ValueError("no baseline JPEG")


def _frame_to_height(head: bytes) -> bytes:
    frame, _ = _places(head)
    return head[frame : frame + _HEIGHT + 2]
