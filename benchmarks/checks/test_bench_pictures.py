"""The benchmark's pictures: numbered copies of a photograph that is not encoded again."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.pipeline import bare, photographs, pictures, restarts
from clients.images.prepare import prepare
from core.images.sizing import ImageLimits

SIDE, HEIGHT = 1600, 1208  # not a multiple of 16, like 3000


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    light = np.add.outer(np.linspace(0, 120, HEIGHT), np.linspace(0, 120, SIDE))
    noise = np.random.default_rng(7).normal(0, 4, (HEIGHT, SIDE))
    grey = Image.fromarray((light + noise).clip(0, 255).astype(np.uint8))
    path = tmp_path_factory.mktemp("model") / "00.jpg"
    photographs.save(
        Image.merge("RGB", (grey, grey, grey.transpose(Image.Transpose.ROTATE_180))), path
    )
    return path


@pytest.fixture(scope="module")
def copies(model: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    stock = tmp_path_factory.mktemp("stock")
    pictures.numbered_copies(stock, model, [0, 26, 130_000])
    return sorted(stock.iterdir())


def _pixels(path: Path) -> np.ndarray:
    with Image.open(path) as found:
        return np.asarray(found.convert("RGB"), np.int16)


def test_a_copy_is_the_photograph_below_its_number(model: Path, copies: list[Path]) -> None:
    border = 2 * pictures.block_pixels(SIDE)
    for copy in copies:
        assert np.array_equal(_pixels(copy)[border + 1 :], _pixels(model)[border + 1 :])


def test_the_number_is_drawn_in_light_and_dark_blocks(copies: list[Path]) -> None:
    block = pictures.block_pixels(SIDE)
    centres = _pixels(copies[1])[block // 2 : 2 * block : block, block // 2 : 9 * block : block, 0]
    bits = [int(light > 128) for light in centres.ravel()]
    assert sum(bit << place for place, bit in enumerate(bits)) == 26


def test_copies_differ_after_they_are_prepared(copies: list[Path]) -> None:
    prepared = [prepare(path, detail="low", limits=ImageLimits()) for path in copies]
    assert len({one.sha256 for one in prepared}) == len(copies)


def test_restart_markers_stay_in_step(copies: list[Path]) -> None:
    found = re.findall(rb"\xff([\xd0-\xd7])", copies[2].read_bytes())
    assert found == [bytes([0xD0 + at % 8]) for at in range(-(-HEIGHT // 16) - 1)]


def test_rows_of_another_width_or_quality_are_refused(model: Path) -> None:
    below = restarts.parse(model.read_bytes())
    for side, quality in ((SIDE - 16, photographs.QUALITY), (SIDE, photographs.QUALITY + 1)):
        strip = io.BytesIO()
        Image.new("RGB", (side, 32)).save(
            strip, "JPEG", quality=quality, subsampling="4:2:0", restart_marker_rows=1
        )
        with pytest.raises(ValueError, match="differ in width or tables"):
            below.under(restarts.parse(strip.getvalue()))


def test_without_restart_markers_a_jpeg_is_refused() -> None:
    data = io.BytesIO()
    Image.new("RGB", (64, 64)).save(data, "JPEG")
    with pytest.raises(ValueError, match="expected one marker per row"):
        restarts.parse(data.getvalue())


def test_no_picture_is_made_when_the_set_does_not_fit_on_the_disk(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photographs, "photographs", lambda *_: [model] * photographs.MODELS)
    monkeypatch.setattr(pictures, "SPARE_BYTES", 10**18)
    with pytest.raises(pictures.NoRoom, match="GB free"):
        pictures.picture_set(tmp_path, 30, SIDE)
    assert not list(tmp_path.rglob("*.jpg"))


@pytest.mark.parametrize("count", [60, 600, 6_000])
def test_bare_work_measures_every_photograph_equally_often(count: int) -> None:
    chosen = bare.sample([Path(str(number)) for number in range(count)])
    seen = [int(path.name) % photographs.MODELS for path in chosen]
    if count > 60:
        assert sorted(seen) == sorted([*range(photographs.MODELS)] * bare.ROUNDS)
        assert len(set(chosen)) == len(chosen)
    else:
        assert len(chosen) == count
