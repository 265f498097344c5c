"""Sizes from headers, and thumbnails: over the whole corpus they agree with ``prepare``."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from clients import local_files
from clients.images.decoder import Decoder
from clients.images.pillow import thumbnail
from clients.images.prepare import prepare
from core.errors import ImageRefused
from core.images.sizing import DecoderLimits, ImageLimits
from tests.support.corpus import Bad, Good

LIMITS = ImageLimits()
DECODER = Decoder(DecoderLimits())


def measure(path: Path, page: int | None) -> tuple[int, int]:
    with local_files.opened(path, LIMITS.max_file_bytes) as (file, size):
        return DECODER.measure(file, size, LIMITS, page)


def test_the_header_gives_the_upright_size(corpus: tuple[Path, list[Good], list[Bad]]) -> None:
    folder, goods, _ = corpus
    wrong = [
        f"{good.name}: {size}"
        for good in goods
        if (size := measure(folder / good.name, good.page)) != good.truth.shape[1::-1]
    ]
    assert wrong == []


def test_a_hostile_file_is_measured_or_refused_with_a_reason(
    corpus: tuple[Path, list[Good], list[Bad]],
) -> None:
    folder, _, bads = corpus
    silent = []
    for bad in bads:
        try:
            measure(folder / bad.name, bad.page)
        except ImageRefused as refused:
            silent += [] if refused.reason else [bad.name]
    assert silent == []


def test_a_thumbnail_is_a_small_jpeg_of_the_same_shape(
    corpus: tuple[Path, list[Good], list[Bad]],
) -> None:
    folder, goods, _ = corpus
    for good in goods:
        sent = prepare(folder / good.name, detail="low", limits=LIMITS, page=good.page)
        small = DECODER.thumbnail(sent.data, 96, 50)
        assert small is not None, good.name
        assert len(small) < 5_000, good.name
        with Image.open(io.BytesIO(small)) as image:
            assert image.format == "JPEG"
            assert max(image.size) == 96
            assert abs(image.width / image.height - sent.width / sent.height) < 0.05


def test_an_image_is_never_enlarged(tmp_path: Path) -> None:
    Image.new("RGB", (40, 30), "red").save(tmp_path / "a.png")
    small = thumbnail((tmp_path / "a.png").read_bytes(), 96, 50)
    assert small is not None
    with Image.open(io.BytesIO(small)) as image:
        assert image.size == (40, 30)


@pytest.mark.parametrize("data", [b"", b"no image", b"\xff\xd8\xff\xe0 cut", b"%PDF-1.4"])
def test_a_file_that_is_not_an_image_has_no_thumbnail(data: bytes) -> None:
    assert thumbnail(data, 96, 50) is None
