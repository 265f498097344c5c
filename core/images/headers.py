"""Facts about image files, read from their bytes without decoding."""

from __future__ import annotations

import re
import struct
from typing import BinaryIO

MAX_GIF_BLOCKS = 200_000
MAX_JPEG_SEGMENTS = 1_000
MAX_JPEG_MARKERS = 100_000
MAX_SEGMENTS_BEFORE_A_FRAME = 100
_MULTI_SCAN_FRAMES = {0xC2, 0xC3, *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)}
_NEVER_BEFORE_A_FRAME = {0xC3, *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xDB)}
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_PNG_PLAIN = {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"sRGB", b"pHYs", b"gAMA", b"cHRM", b"iCCP"}


def is_plain(data: bytes, kind: str) -> bool:
    """Whether a file holds only pixels and a colour profile: no metadata, no transparency, no
    second image, no bytes after its end. ``kind`` is jpeg, png or webp; others are never plain.
    """
    checks = {"jpeg": _plain_jpeg, "png": _plain_png, "webp": _plain_webp}
    try:
        return kind in checks and checks[kind](data)
    except (IndexError, ValueError, struct.error):
        return False


def _plain_jpeg(data: bytes) -> bool:
    at = 2
    while (match := _NEXT_MARKER.search(data, at)) is not None:
        marker, at = data[match.end() - 1], match.end()
        if marker == 0xD9:
            return at == len(data)
        size = struct.unpack_from(">H", data, at)[0]
        if not _plain_segment(marker, data[at + 2 : at + size]):
            return False
        at += size
    return False


def _plain_segment(marker: int, body: bytes) -> bool:
    if marker == 0xFE:
        return False
    if not 0xE0 <= marker <= 0xEF:
        return True
    return (
        (marker == 0xE0 and body[:5] == b"JFIF\0" and len(body) == 14)
        or (marker == 0xE2 and body.startswith(b"ICC_PROFILE\0"))
        or (marker == 0xEE and body[:5] == b"Adobe" and len(body) == 12)
    )


def _plain_png(data: bytes) -> bool:
    depth, colour = data[24:26]
    if depth == 16 or colour not in (0, 2, 3):
        return False
    at = 8
    name = b""
    while name != b"IEND":
        size, name = struct.unpack_from(">I4s", data, at)
        if name not in _PNG_PLAIN:
            return False
        at += int(size) + 12
    return at == len(data)


def _plain_webp(data: bytes) -> bool:
    name, size = struct.unpack_from("<4sI", data, 12)
    if 20 + size + (size & 1) != len(data):
        return False
    return name == b"VP8 " or (name == b"VP8L" and not data[24] & 0x10)


def webp_size(head: bytes) -> tuple[int, int] | None:
    """Declared width and height in pixels, to check before a decoder allocates its canvas."""
    try:
        return _webp_size(head[12:16], head[20:])
    except (IndexError, struct.error):
        return None


def _webp_size(name: bytes, body: bytes) -> tuple[int, int] | None:
    if name == b"VP8X":
        return 1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little")
    if name == b"VP8L":
        bits = struct.unpack_from("<I", body, 1)[0]
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if name == b"VP8 ":
        width, height = struct.unpack_from("<HH", body, 6)
        return width & 0x3FFF, height & 0x3FFF
    return None


def ends_plainly(data: bytes, kind: str) -> bool:
    """Whether a file is complete; a PNG may have no other chunk between its pixels and its end.

    Chunks before the pixels are checked when the header is read.
    """
    if kind == "webp":
        return len(data) >= 8 + int.from_bytes(data[4:8], "little")
    return kind != "png" or _png_ends_plainly(data)


def _png_ends_plainly(data: bytes) -> bool:
    at, names = 8, list[bytes]()
    while at + 12 <= len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        if names or name == b"IDAT":
            names.append(name)
        at += int(size) + 12
    return at == len(data) and names[-1:] == [b"IEND"] and set(names[:-1]) == {b"IDAT"}


def ends_early(file: BinaryIO, kind: str, file_bytes: int) -> bool:
    """Whether the container declares more bytes than the file has.

    This separates truncated files from corrupt ones; decoders report short files in many ways.
    """
    file.seek(0)
    if kind == "webp":
        return file_bytes < 8 + int.from_bytes(file.read(8)[4:], "little")
    if kind in ("heic", "avif"):
        return _boxes_end_early(file, file_bytes)
    if kind == "tiff":
        head = file.read(8)
        first = struct.unpack("<I" if head[:2] == b"II" else ">I", head[4:8].ljust(4, b"\0"))[0]
        return head[2:4] in (b"*\0", b"\0*") and int(first) >= file_bytes
    if kind == "png":
        file.seek(max(0, file_bytes - 1024))
        return b"IEND" not in file.read()
    return False


def _boxes_end_early(file: BinaryIO, file_bytes: int) -> bool:
    at = 0
    for _ in range(1000):
        file.seek(at)
        head = file.read(16)
        if len(head) < 8:
            return len(head) > 0
        size = int.from_bytes(head[:4], "big")
        if size == 1:
            size = int.from_bytes(head[8:16], "big")
        if size == 0 or at + size == file_bytes:
            return False
        if size < 8 or at + size > file_bytes:
            return True
        at += size
    return False


def jpeg_frame(file: BinaryIO, start: int) -> tuple[int, int] | None:
    """Width and height in pixels of the JPEG at an offset; None if it is not a picture that any
    viewer shows: lossless, of another depth, or without a header."""
    at = start + 2
    for _ in range(MAX_SEGMENTS_BEFORE_A_FRAME):
        file.seek(at)
        mark, marker, size = struct.unpack(">BBH", file.read(4).ljust(4, b"\0"))
        if mark == marker == 0xFF:  # a fill byte
            at += 1
            continue
        if marker in (0xC0, 0xC1, 0xC2):
            depth, height, width, components = struct.unpack(">BHHB", file.read(6).ljust(6, b"\0"))
            shown = depth == 8 and components in (1, 3) and width and height
            return (width, height) if mark == 0xFF and shown else None
        if mark != 0xFF or marker < 0xC0 or marker in _NEVER_BEFORE_A_FRAME or size < 2:
            return None
        at += 2 + size
    return None


def jpeg_kind(file: BinaryIO) -> str:
    """What is unusual about a JPEG whose frame no common decoder reads; empty if nothing is."""
    at = 2
    for _ in range(MAX_SEGMENTS_BEFORE_A_FRAME):
        file.seek(at)
        mark, marker, size, depth = struct.unpack(">BBHB", file.read(5).ljust(5, b"\0"))
        if mark != 0xFF or marker == 0xDA or size < 2:
            return ""
        if marker in (0xC3, 0xC7, 0xCB, 0xCF):
            return "a lossless JPEG"
        if marker in (0xC5, 0xC6, 0xCD, 0xCE):
            return "a hierarchical JPEG"
        if marker in (0xC0, 0xC1, 0xC2, 0xC9, 0xCA):
            return f"a JPEG of {depth} bits a colour" if depth != 8 else ""
        at += 2 + size
    return ""


def jpeg_end(data: bytes) -> int | None:
    """Where the first JPEG in ``data`` ends; None if it has no end."""
    at = 2
    for _ in range(MAX_JPEG_MARKERS):
        match = _NEXT_MARKER.search(data, at)
        if match is None:
            return None
        marker, at = data[match.end() - 1], match.end()
        if marker == 0xD9:
            return at
        at += int.from_bytes(data[at : at + 2], "big")
    return None


def jpeg_is_refined(data: bytes) -> bool | None:
    """Whether the last bits of every colour of a progressive JPEG have begun: only finest detail is
    missing if it ends then. None for any other JPEG."""
    at, colours = 2, 0
    refined: set[int] = set()
    for _ in range(MAX_JPEG_MARKERS):
        match = _NEXT_MARKER.search(data, at)
        if match is None:
            break
        marker, at = data[match.end() - 1], match.end()
        body = data[at + 2 : at + int.from_bytes(data[at : at + 2], "big")]
        if marker in (0xC0, 0xC1):
            return None
        if marker == 0xC2 and len(body) > 5:
            colours = body[5]
        if marker == 0xDA and len(body) >= 6:
            last, low_bit = body[-2], body[-1] & 15
            if last == 63 and low_bit == 0:
                refined.add(body[1])
        at += 2 + len(body)
    return 0 < colours == len(refined)


def jpeg_scans(file: BinaryIO, most: int) -> int:
    """Number of scans in a JPEG, counted up to about ``most``.

    A small file with thousands of scans over a large frame keeps a decoder busy for hours. Only if
    the header allows more than the one scan of a plain photo, the whole file is searched.
    """
    if _is_single_scan(file):
        return 1
    file.seek(0)
    count, last = 0, b""
    while count <= most and (chunk := file.read(1 << 20)):
        count += (last + chunk).count(b"\xff\xda")
        last = chunk[-1:]
    return count


def _is_single_scan(file: BinaryIO) -> bool:
    """Whether the first scan of a baseline frame has all components: decoders refuse a second."""
    file.seek(2)
    components = 0
    for _ in range(MAX_JPEG_SEGMENTS):
        mark, marker, size = struct.unpack(">BBH", file.read(4).ljust(4, b"\0"))
        if mark != 0xFF or marker in _MULTI_SCAN_FRAMES:
            return False
        if marker == 0xDA:
            return file.read(1) == bytes([components])
        if marker in (0xC0, 0xC1):
            components = int.from_bytes(file.read(6)[5:], "big")
            size -= 6
        file.seek(size - 2, 1)
    return False


def gif_frames(file: BinaryIO) -> int | None:
    """Number of frames in a GIF, by walking its blocks; None if there are too many blocks."""
    file.seek(10)
    flags = file.read(3)[:1]
    file.seek(13 + _palette_bytes(flags))
    frames = 0
    for _ in range(MAX_GIF_BLOCKS):
        block = file.read(1)
        if block == b",":
            frames += 1
            file.seek(_palette_bytes(file.read(9)[8:]) + 1, 1)
        elif block == b"!":
            file.seek(1, 1)
        else:
            return frames
        if not _skip_sub_blocks(file):
            return None
    return None


def _palette_bytes(flags: bytes) -> int:
    return 3 * 2 ** ((flags[0] & 7) + 1) if flags and flags[0] & 0x80 else 0


def _skip_sub_blocks(file: BinaryIO) -> bool:
    for _ in range(MAX_GIF_BLOCKS):
        size = file.read(1)
        if not size or size == b"\0":
            return True
        file.seek(size[0], 1)
    return False
