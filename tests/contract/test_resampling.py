"""Resizing with vector instructions gives what Pillow's LANCZOS gives, up to rounding."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from clients.images import resampling
from clients.images.resampling import Box, resized

random = np.random.default_rng(7)
NOISE = Image.fromarray(random.integers(0, 256, (300, 400, 3), np.uint8))
SMOOTH = NOISE.resize((40, 30)).resize((400, 300), Image.Resampling.BICUBIC)
PICTURES = [(SMOOTH, 0.5, 2), (NOISE, 1.0, 64)]
"""With the mean and the largest difference of values of 0 to 255. Both libraries cut values off at
0 and 255 after the first of two passes, and begin with another one: noise shows it."""


@pytest.fixture(params=["vector", "pillow"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "pillow":
        monkeypatch.setattr(resampling, "Resizer", None)
    elif resampling.Resizer is None:
        pytest.skip("no wheel of cykooz-resizer for this machine")
    return str(request.param)


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("size", [(200, 150), (399, 299), (37, 5), (728, 546)])
@pytest.mark.parametrize("box", [None, (0.0, 0.0, 399.25, 298.5), (10.5, 3.0, 300.0, 200.75)])
@pytest.mark.parametrize(("picture", "mean", "most"), PICTURES)
@pytest.mark.usefixtures("way")
def test_it_is_a_lanczos_of_the_box(
    mode: str, size: tuple[int, int], box: Box | None, picture: Image.Image, mean: float, most: int
) -> None:
    image = picture.convert(mode)
    careful = np.asarray(image.resize(size, Image.Resampling.LANCZOS, box), np.int16)
    made = resized(image, size, box)
    assert (made.mode, made.size) == (mode, size)
    difference = np.abs(np.asarray(made, np.int16) - careful)
    assert difference.mean() < mean
    assert difference.max() <= most


@pytest.mark.usefixtures("way")
def test_a_picture_of_the_wanted_size_stays_as_it_is() -> None:
    assert resized(NOISE, NOISE.size) is NOISE


@pytest.mark.parametrize("mode", ["RGBA", "CMYK", "F"])
def test_other_modes_are_left_to_pillow(mode: str) -> None:
    image = NOISE.convert("L" if mode == "F" else "RGB").convert(mode)
    careful = image.resize((100, 75), Image.Resampling.LANCZOS)
    assert resized(image, (100, 75)).tobytes() == careful.tobytes()
