"""When and where pictures were taken, as the decoding process reads it from real files."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from clients import local_files
from clients.images.decoder import Decoder
from clients.images.prepared import Prepared
from core.images.sizing import DecoderLimits, ImageLimits

LIMITS = ImageLimits()
DECODER = Decoder(DecoderLimits(seconds=10.0))
FACTS = {"taken": "2024-05-01T12:00:03.12+02:00", "gps": "48.20849,16.37208"}
KINDS = {"jpg": "JPEG", "tif": "TIFF", "webp": "WEBP", "png": "PNG", "heic": "HEIF"}


def picture(path: Path, exif: bytes | Image.Exif | None = None) -> Path:
    if path.suffix == ".heic":
        import pillow_heif

        pillow_heif.register_heif_opener()
    given = {} if exif is None else {"exif": exif}
    Image.new("RGB", (320, 240), "teal").save(path, KINDS[path.suffix[1:]], **given)
    return path


def tags() -> Image.Exif:
    exif = Image.Exif()
    exif.get_ifd(0x8769).update({0x9003: "2024:05:01 12:00:03", 0x9291: "12", 0x9011: "+02:00"})
    place = {1: "N", 2: (48.0, 12.0, 30.564), 3: "E", 4: (16.0, 22.0, 19.488)}
    exif.get_ifd(0x8825).update(place)
    return exif


def prepared(path: Path) -> Prepared:
    with local_files.opened(path) as (file, size):
        return DECODER.prepare(file, size, detail="low", limits=LIMITS)


def taken(path: Path) -> str | None:
    with local_files.opened(path) as (file, size):
        return DECODER.taken(file, size, LIMITS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_tells_when_and_where_it_was_taken(tmp_path: Path, kind: str) -> None:
    path = picture(tmp_path / f"a.{kind}", tags().tobytes())
    assert prepared(path).facts == FACTS
    assert taken(path) == FACTS["taken"]
    assert prepared(picture(tmp_path / f"plain.{kind}")).facts == {}


@pytest.mark.parametrize("kind", ["jpg", "webp", "png"])
@pytest.mark.parametrize("broken", [b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0", b"nonsense"])
def test_broken_exif_fails_no_picture(tmp_path: Path, kind: str, broken: bytes) -> None:
    path = picture(tmp_path / f"a.{kind}", broken)
    assert prepared(path).facts == {}
    assert taken(path) is None


def test_what_is_no_picture_has_no_time(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("not a picture")
    assert taken(tmp_path / "a.jpg") is None
