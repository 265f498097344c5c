"""Makes files readable that every viewer shows, although they break their format's rules.

What is beside the pixels may be broken or huge (texts, profiles), and the last bytes may be missing
after a copy that was cut off. Each function takes a whole file and gives None if it cannot help.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from core.errors import ImageRefused, RefusalCode
from core.images.headers import jpeg_end, jpeg_is_refined

MISSING_MAX = 0.05
"""The largest share of missing rows: a picture that lacks more would count for what is not seen."""
PROFILE_BYTES = 16_000_000
PIXEL_BYTES = 400_000_000
"""Most that is unpacked here of a profile, and of pixels to complete them."""
WEBP_BYTES = 8
"""So many missing bytes change at most the last few blocks."""

PNG_MARK = b"\x89PNG\r\n\x1a\n"
END = b"\xff\xd9"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_TRANSPARENT = {0: (2,), 2: (6,), 3: range(1, 257)}
"""Bytes of a tRNS chunk by colour type."""


@dataclass(frozen=True, slots=True)
class Mended:
    """A file that can be read; its colour profile, if that was taken out; what to tell."""

    data: bytes
    profile: bytes | None = None
    remark: str = ""


def png(data: bytes, is_shown: bool = True) -> Mended | None:
    """A PNG of what makes the picture alone. Raises ImageRefused if rows are missing, which is
    looked at only if the picture is to be shown."""
    header, kept, pixels, profile = b"", b"", [], None
    for name, body, is_sound in _chunks(data):
        if name == b"IHDR" and is_sound and len(body) == 13:
            header = body
        elif name == b"IDAT":
            pixels.append(body)
        elif name == b"iCCP" and is_sound:
            profile = _profile(body)
        elif name == b"PLTE" or (is_sound and name == b"eXIf"):
            kept += _chunk(name, body)
        elif is_sound and name == b"tRNS" and header:
            kept += _chunk(name, body) if len(body) in _TRANSPARENT.get(header[9], ()) else b""
    if not header or not pixels:
        return None
    whole, remark = b"".join(pixels), ""
    if is_shown:
        whole, remark = _with_all_rows(whole, header)
    chunks = _chunk(b"IHDR", header) + kept + _chunk(b"IDAT", whole) + _chunk(b"IEND", b"")
    return Mended(PNG_MARK + chunks, profile, remark)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes, bool]]:
    """Name, content and whether the checksum is right; of a chunk that is cut off, what is left."""
    at = len(PNG_MARK)
    while at + 8 <= len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + 8 + size]
        check = data[at + 8 + size : at + 12 + size]
        yield name, body, check == struct.pack(">I", zlib.crc32(name + body))
        at += 12 + size


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", len(body), name) + body + struct.pack(">I", zlib.crc32(name + body))


def _profile(body: bytes) -> bytes | None:
    _, _, packed = body.partition(b"\0")
    try:
        return zlib.decompressobj().decompress(packed[1:], PROFILE_BYTES) or None
    except zlib.error:
        return None


def _with_all_rows(packed: bytes, header: bytes) -> tuple[bytes, str]:
    """The pixels with black rows in place of the missing ones, and a remark about those."""
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    row = 1 + (width * depth * _CHANNELS.get(colour, 4) + 7) // 8
    if interlaced or not 0 < row * height <= PIXEL_BYTES:  # 0 would mean no bound
        return packed, ""
    try:
        pixels = zlib.decompressobj().decompress(packed, row * height)
    except zlib.error:
        return packed, ""
    missing = height - len(pixels) // row
    if not missing:
        return packed, ""
    remark = missing_rows(missing, height, "black")
    return zlib.compress(pixels.ljust(row * height, b"\0"), 1), remark


def jpeg(data: bytes) -> Mended | None:
    """A JPEG with an end. Rows that are missing become gray when it is decoded."""
    data = data.rstrip(b"\0")  # a download that was cut off may have its full size
    if data.endswith(b"\xff"):
        data = data[:-1]
    if jpeg_end(data) is not None:
        return None
    refined = jpeg_is_refined(data)
    if refined is False:
        raise _cut("before the picture is in full detail")
    remark = "the file ends early: some of its finest detail may be missing" if refined else ""
    return Mended(data + END, None, remark)


def webp(data: bytes) -> Mended | None:
    """A WebP with its last few bytes."""
    missing = 8 + int.from_bytes(data[4:8], "little") - len(data)
    if not 0 < missing <= WEBP_BYTES:
        return None
    return Mended(data + bytes(missing), None, f"the file lacks its last bytes ({missing})")


def missing_rows(missing: int, height: int, colour: str) -> str:
    """A remark about rows that are missing at the bottom, as stored; empty if there are none.

    Raises ImageRefused if they are too many.
    """
    if missing > MISSING_MAX * height:
        raise _cut(f"and {100 * missing / height:.0f} % of the picture is missing")
    if not missing:
        return ""
    return f"the file ends early: {missing} of {height} rows missing, shown {colour}"


def _cut(what: str) -> ImageRefused:
    return ImageRefused(
        RefusalCode.TRUNCATED, f"the data ends early, {what}: copy or download the file again"
    )
