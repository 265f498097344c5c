"""RAW files of cameras: which files are one, and the JPEG pictures that the camera put into them.

The sensor's data is not developed. Nearly every camera embeds its own JPEG of the photo, and most
in full size. Sources: the DNG specification 1.7 (Adobe), TIFF/EP (ISO 12234-2), and for tags of
makers exiftool.org/TagNames.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from core.images import tiff
from core.images.headers import jpeg_frame
from core.images.tiff import Directory

THUMBNAIL = 512
"""A longest side under this many pixels is a thumbnail: at 728, the size of ``low``, a model sees
twice as many pixels of the same photo."""

DNG_VERSION = 50706
CFA, LINEAR_RAW = 32803, 34892
PICTURES = (0, 1, 2, 6)
"""Photometric interpretations of ready pictures: gray, RGB, YCbCr."""
MAKERS = frozenset({32767, 32769, 32770, 32867, 34316, 34713, 34892, 65000, 65535})
"""Compressions of raw data: Sony, Epson, Samsung, Kodak, Panasonic, Nikon, lossy DNG, Kodak,
Pentax."""
QUARTER_TURNS = range(5, 9)

_CHUNK = 1 << 20
_MAX_STARTS = 2_000
_CANON_BOXES = 1 << 16
"""The first directory of a CR3 file lies in its first box."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """A JPEG inside a file: where it begins, and its size in pixels as stored."""

    offset: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Raw:
    """The largest embedded picture, if any; its EXIF orientation (None: as the picture itself
    says); the size of the sensor's data (zeros: unknown)."""

    picture: Embedded | None
    orientation: int | None
    sensor: tuple[int, int]


def is_raw(file: BinaryIO) -> bool:
    """Whether a file that begins like a TIFF holds a sensor's data."""
    found = tiff.directories(file)
    pages = [page for page in found if page.is_page]
    full = [page for page in pages if not page.one(tiff.SUBFILE_TYPE) & tiff.REDUCED]
    return any(map(_is_sensor, found)) or (len(found) > len(pages) > 0 and not full)


def read(file: BinaryIO) -> Raw:
    """What a RAW file holds. Raises OSError."""
    found = tiff.directories(file) or _canon(file)
    sensor = max((page.size for page in found if _is_sensor(page)), default=(0, 0))
    picture = max(_pictures(file, found), key=lambda it: it.width * it.height, default=None)
    turned = next((page.one(tiff.ORIENTATION) for page in found if page.is_page), 0)
    if picture is None or turned not in range(1, 9):
        return Raw(picture, None, sensor)
    return Raw(picture, 1 if _is_turned(picture, turned, sensor) else turned, sensor)


def _is_sensor(page: Directory) -> bool:
    return (
        page.one(tiff.PHOTOMETRIC) in (CFA, LINEAR_RAW)
        or page.one(tiff.COMPRESSION) in MAKERS
        or (page.is_page and DNG_VERSION in page.tags)
    )


def _canon(file: BinaryIO) -> list[Directory]:
    """The first directory of a CR3 file, which is a TIFF inside a box."""
    file.seek(0)
    at = file.read(_CANON_BOXES).find(b"CMT1")
    return tiff.directories(file, at + 4) if at >= 0 else []


def _is_turned(picture: Embedded, orientation: int, sensor: tuple[int, int]) -> bool:
    """Whether the picture was stored upright, although the sensor's data lies on its side."""
    lies = sensor[0] > sensor[1] and orientation in QUARTER_TURNS
    return lies and picture.height > picture.width


def _pictures(file: BinaryIO, found: Sequence[Directory]) -> Iterator[Embedded]:
    """Every JPEG in the file that is not a piece of another picture, nor sensor data."""
    pieces = {part for page in found if _has_pieces(page) for part in page.parts}
    for start in _starts(file):
        if start not in pieces and (size := jpeg_frame(file, start)) is not None:
            yield Embedded(start, *size)


def _has_pieces(page: Directory) -> bool:
    return len(page.parts) > 1 or page.one(tiff.PHOTOMETRIC) not in PICTURES


def _starts(file: BinaryIO) -> list[int]:
    """Offsets of the first bytes of a JPEG. Makers keep pictures in places of their own, so the
    whole file is searched."""
    starts: list[int] = []
    at, last = 0, b""
    file.seek(0)
    while len(starts) < _MAX_STARTS and (chunk := file.read(_CHUNK)):
        data = last + chunk
        found = data.find(b"\xff\xd8\xff")
        while found >= 0:
            starts.append(at - len(last) + found)
            found = data.find(b"\xff\xd8\xff", found + 1)
        at, last = at + len(chunk), data[-2:]
    return starts[:_MAX_STARTS]
