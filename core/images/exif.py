"""What a camera wrote into a picture beside its pixels: when and where it was taken.

Source of the tags: Exif 3.0 (CIPA DC-008-2023), 4.6.5 and 4.6.6. Anybody can write anything there,
so only what can be a time or a place is taken.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Mapping
from datetime import datetime
from io import SEEK_CUR
from typing import Any, BinaryIO

TAKEN, GPS = "taken", "gps"
Tags = Mapping[int, Any]
_TIMES = ((0x9003, 0x9291, 0x9011), (0x9004, 0x9292, 0x9012), (0x0132, 0x9290, 0x9010))
"""Tags of a time, of its parts of a second, and of its offset from UTC; the best first: when it was
taken, when it was digitized, when the file was changed."""
LATITUDE_REF, LATITUDE, LONGITUDE_REF, LONGITUDE = 1, 2, 3, 4
_PNG = b"\x89PNG\r\n\x1a\n"
_CHUNK, _CHECKSUM = struct.Struct("!I4s"), 4
_CHUNKS_MAX, _BLOCK_MAX = 100_000, 1_000_000
_TIME = re.compile(r"(\d{4})[:/.-](\d\d)[:/.-](\d\d)[ T](\d\d):(\d\d):(\d\d)", re.ASCII)
_OFFSET = re.compile(r"[+-](?:0\d|1[0-4]):[0-5]\d", re.ASCII)
_FORMS = {
    TAKEN: re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:[+-]\d\d:\d\d)?", re.ASCII),
    GPS: re.compile(r"-?\d{1,2}\.\d{5},-?\d{1,3}\.\d{5}", re.ASCII),
}


def facts_of(image: Tags, exif: Tags, gps: Tags) -> dict[str, str]:
    """``taken`` (2024-05-01T12:00:03, with parts of a second and the offset from UTC where they are
    known) and ``gps`` (48.20849,16.37208: latitude and longitude in degrees, WGS 84), as far as the
    tags have them. The tags: of the image, of its Exif and of its GPS directory."""
    found = {TAKEN: _taken(image, exif), GPS: _place(gps)}
    return {name: value for name, value in found.items() if value is not None}


def png_block(file: BinaryIO) -> bytes:
    """The EXIF of a PNG file, wherever its chunk stands; many writers put it behind the pixels,
    where a decoder finds it only when it has read them all. Empty without any."""
    file.seek(len(_PNG))
    for _ in range(_CHUNKS_MAX):
        size, name = _CHUNK.unpack(file.read(_CHUNK.size).ljust(_CHUNK.size, b"\0"))
        if name == b"eXIf":
            return file.read(min(size, _BLOCK_MAX))
        if not name.strip(b"\0"):
            break
        file.seek(size + _CHECKSUM, SEEK_CUR)
    return b""


def is_png(file: BinaryIO) -> bool:
    file.seek(0)
    return file.read(len(_PNG)) == _PNG


def checked(facts: Any) -> dict[str, str]:
    """Those of ``facts`` that have the form of ours: a decoder may have been taken over."""
    if not isinstance(facts, Mapping):
        return {}
    return {
        name: facts[name]
        for name, form in _FORMS.items()
        if isinstance(facts.get(name), str) and form.fullmatch(facts[name])
    }


def _taken(image: Tags, exif: Tags) -> str | None:
    for time, part, offset in _TIMES:
        moment = _moment(image.get(time) if time in image else exif.get(time))
        if moment is not None:
            parts = re.match(r"\d{1,6}", _text(exif.get(part)), re.ASCII)
            ahead = _OFFSET.fullmatch(_text(exif.get(offset)))
            return moment + (f".{parts[0]}" if parts else "") + (ahead[0] if ahead else "")
    return None


def _moment(value: Any) -> str | None:
    match = _TIME.match(_text(value))
    if match is None:
        return None
    try:
        return datetime.fromisoformat("{}-{}-{}T{}:{}:{}".format(*match.groups())).isoformat()
    except ValueError:  # such as 0000:00:00 00:00:00, where the clock was never set
        return None


def _place(gps: Tags) -> str | None:
    north = _degrees(gps.get(LATITUDE), _text(gps.get(LATITUDE_REF)), "NS", 90)
    east = _degrees(gps.get(LONGITUDE), _text(gps.get(LONGITUDE_REF)), "EW", 180)
    if north is None or east is None or not (north or east):  # broken receivers write 0, 0
        return None
    return f"{north:.5f},{east:.5f}"


def _degrees(value: Any, side: str, sides: str, most: int) -> float | None:
    """Degrees of (degrees, minutes, seconds); negative on the second of the ``sides``."""
    try:
        degrees, minutes, seconds = (float(part) for part in value)
    except (TypeError, ValueError, ArithmeticError):
        return None
    angle = degrees + minutes / 60 + seconds / 3600
    if side[:1].upper() not in (*sides,) or not math.isfinite(angle) or not 0 <= angle <= most:
        return None
    return -angle if side[0].upper() == sides[1] else angle


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        value = value.decode("ascii", "replace")
    return value.strip("\0 \t") if isinstance(value, str) else ""
