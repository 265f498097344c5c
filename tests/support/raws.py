"""RAW files as cameras write them, built by code. The sensor's data is noise: nothing reads it."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

LENGTH_OF = {273: 279, 324: 325, 513: 514}
"""Tags of offsets, and the tags that hold the lengths."""
SIZE = (900, 1200)
"""Of the sensors, in pixels."""
NOISE = np.random.default_rng(7).bytes(30_000).replace(b"\xff\xd8", b"\0\0")
THUMBNAIL = {254: 1, 256: 160, 257: 120, 258: (8, 8, 8), 259: 1, 262: 2, 277: 3, 278: 120}
Directory = Mapping[int, Any]


def tiff(pages: Sequence[Directory], order: str = "<", magic: int = 42, mark: bytes = b"") -> bytes:
    """A file of these pages. A value is a number, numbers, the bytes that a tag of LENGTH_OF leads
    to, or directories below one (of tag 330)."""
    out = bytearray(16)
    out[8 : 8 + len(mark)] = mark
    following = 0
    for page in reversed(pages):
        following = _put(out, page, following, order)
    out[:8] = struct.pack(order + "2sHI", b"II" if order == "<" else b"MM", magic, following)
    return bytes(out)


def _put(out: bytearray, directory: Directory, following: int, order: str) -> int:
    entries: dict[int, tuple[int, ...]] = {}
    for tag, value in directory.items():
        if isinstance(value, bytes):
            entries[tag] = (_append(out, value),)
            if tag in LENGTH_OF:
                entries[LENGTH_OF[tag]] = (len(value),)
        elif isinstance(value, list):
            entries[tag] = tuple(_put(out, inner, 0, order) for inner in value)
        else:
            entries[tag] = value if isinstance(value, tuple) else (value,)
    packed = b""
    for tag, numbers in sorted(entries.items()):
        kind, letter = (3, "H") if tag in (258, 259, 262, 274, 277) else (4, "I")
        body = struct.pack(f"{order}{len(numbers)}{letter}", *numbers)
        inline = body if len(body) <= 4 else struct.pack(order + "I", _append(out, body))
        packed += struct.pack(order + "HHI", tag, kind, len(numbers)) + inline.ljust(4, b"\0")
    end = struct.pack(order + "I", following)
    return _append(out, struct.pack(order + "H", len(entries)) + packed + end)


def _append(out: bytearray, data: bytes) -> int:
    out += bytes(len(out) % 2)
    at = len(out)
    out += data
    return at


def sensor(size: tuple[int, int] = SIZE) -> dict[int, Any]:
    return {254: 0, 256: size[0], 257: size[1], 258: 14, 259: 1, 262: 32803, 277: 1, 273: NOISE}


def pixels() -> bytes:
    """The uncompressed thumbnail that a DNG and a NEF show to a viewer of TIFF files."""
    return bytes(160 * 120 * 3)


def dng(jpeg: bytes, orientation: int, small: bytes = b"", size: tuple[int, int] = SIZE) -> bytes:
    preview = {254: 1, 259: 7, 262: 6, 277: 3}
    previews = [{**preview, 273: data} for data in (small, jpeg) if data]
    first = {
        **THUMBNAIL,
        273: pixels(),
        274: orientation,
        330: [sensor(size), *previews],
        50706: 0x0401,
    }
    return tiff([first])


def nef(jpeg: bytes, orientation: int) -> bytes:
    below = [{254: 1, 259: 6, 513: jpeg}, {**sensor(), 259: 34713}]
    first = {**THUMBNAIL, 273: pixels(), 274: orientation, 330: below}
    return tiff([first], order=">")


def cr2(jpeg: bytes, small: bytes, orientation: int) -> bytes:
    lossless = b"\xff\xd8\xff\xc4\0\2\xff\xc3\0\x0b\x0e\3\0\4\0\1\0\0" + NOISE
    pages = [
        {256: 960, 257: 700, 258: (8, 8, 8), 259: 6, 262: 6, 273: jpeg, 274: orientation},
        {513: small},
        {256: SIZE[0], 257: SIZE[1], 259: 6, 262: 32803, 273: lossless},
    ]
    return tiff(pages, mark=b"CR\2\0")


def arw(jpeg: bytes, small: bytes, orientation: int) -> bytes:
    first = {254: 1, 259: 6, 274: orientation, 513: jpeg, 330: [{**sensor(), 259: 32767}]}
    return tiff([first, {254: 1, 259: 6, 513: small}])


def orf(jpeg: bytes, orientation: int) -> bytes:
    """The picture is in the maker's own notes."""
    first = {**sensor(), 274: orientation, 37500: b"OLYMPUS\0II\3\0" + jpeg}
    return tiff([first], magic=0x4F52)


def rw2(jpeg: bytes, orientation: int) -> bytes:
    return tiff([{2: SIZE[0], 3: SIZE[1], 274: orientation, 46: jpeg, 280: NOISE}], magic=0x55)


def raf(jpeg: bytes) -> bytes:
    head = b"FUJIFILMCCD-RAW 0201FF383501X-T1".ljust(84, b"\0") + struct.pack(">II", 160, len(jpeg))
    return head.ljust(160, b"\0") + jpeg + NOISE


def cr3(jpeg: bytes, small: bytes, orientation: int) -> bytes:
    first = _box(b"CMT1", tiff([{256: SIZE[0], 257: SIZE[1], 274: orientation}]))
    notes = _box(b"uuid", bytes(16) + first + _box(b"THMB", bytes(16) + small))
    return (
        _box(b"ftyp", b"crx \0\0\0\1crx isom") + _box(b"moov", notes) + _box(b"mdat", jpeg + NOISE)
    )


def _box(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), name) + body
