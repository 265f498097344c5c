"""A JPEG as independent rows of blocks, so that two JPEGs can exchange rows.

With a restart marker after every row of blocks (MCUs: 16 x 16 pixels at 4:2:0), no row depends on
the row above: prediction restarts, and markers are numbered 0 to 7 by position. So the first rows
of one JPEG can replace those of another with the same width and tables. A new picture then costs
only a copy of bytes.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

ROW_PIXELS = 16
"""Height of a row of blocks with chroma at half size, as cameras store it."""
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
"""In coded data any other 0xFF is followed by 0x00, so every match is a marker."""
_START, _END, _FRAME, _SCAN = b"\xff\xd8", b"\xff\xd9", 0xC0, 0xDA
_HEIGHT = 5
"""Bytes from a frame's marker to its height: marker, length, precision."""


@dataclass(frozen=True, slots=True)
class Restarts:
    """``head``: all bytes before the coded data; ``rows``: the coded rows without markers."""

    head: bytes
    height: int  # pixels
    rows: tuple[bytes, ...]

    @property
    def tables(self) -> bytes:
        """The head without the height; two pictures can exchange rows only if these are equal."""
        return self.head.replace(_frame_to_height(self.head), b"", 1)

    def under(self, top: Restarts) -> bytes:
        """A complete file: the rows of ``top``, then the remaining rows of this picture.

        Raises ValueError when width, sampling or tables differ.
        """
        if top.tables != self.tables or len(top.rows) > len(self.rows):
            raise ValueError("the two pictures differ in width or tables")
        coded = [*top.rows, *self.rows[len(top.rows) :]]
        marked = [row + bytes((0xFF, 0xD0 + at % 8)) for at, row in enumerate(coded[:-1])]
        return b"".join((self.head, *marked, coded[-1], _END))


def parse(data: bytes) -> Restarts:
    """Split a baseline JPEG of one scan. Raises ValueError when its rows cannot be identified."""
    frame, coded = _places(data)
    (height,) = struct.unpack_from(">H", data, frame + _HEIGHT)
    rows = tuple(_RESTART.split(data[coded : -len(_END)]))
    if not data.endswith(_END) or len(rows) != -(-height // ROW_PIXELS):
        raise ValueError(
            f"{height} pixels in {len(rows)} rows: expected one marker per row of blocks"
        )
    return Restarts(data[:coded], height, rows)


def _places(data: bytes) -> tuple[int, int]:
    """Offsets of the frame's marker and of the coded data."""
    frame, at = 0, len(_START)
    while at < len(data):
        marker, size = struct.unpack_from(">xBH", data, at)
        if marker == _FRAME:
            frame = at
        at += 2 + size
        if marker == _SCAN and frame:
            return frame, at
    raise ValueError("not a baseline JPEG")


def _frame_to_height(head: bytes) -> bytes:
    frame, _ = _places(head)
    return head[frame : frame + _HEIGHT + 2]
