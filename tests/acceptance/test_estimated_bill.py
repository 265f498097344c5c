"""``overstory estimate`` for many photographs, compared with the actual bill."""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random

import pytest
from PIL import Image

from tests.support.command import Endpoint, Person, parsed

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
from make_photos import SCENES

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]

ASK = "What is in these photos, and which stand out?"
PHOTOS = 500
LONG_SIDES = (64, 300, 500, 640, 728, 800, 1008, 1024, 1280, 1600)
LARGE = (2016, 2400, 3264, 4032)
"""One in twenty, so that making and preparing the set takes seconds."""
RATIOS = (1.0, 4 / 3, 3 / 2, 16 / 9, 2.2, 5.0)
FORMATS = ("jpg", "jpg", "jpg", "jpeg", "png", "webp")
ORIENTATION = 0x0112


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Crops of painted scenes in all sizes, shapes and formats, some stored rotated."""
    folder = tmp_path_factory.mktemp("mixed")
    rng = Random(11)
    scenes = [scene.paint(Random(n), (420, 280)) for n, scene in enumerate(SCENES)]
    for n in range(PHOTOS):
        _save(rng, _piece(rng, scenes[n % len(scenes)], n), folder / f"{n:04}")
    return folder


def _piece(rng: Random, scene: Image.Image, number: int) -> Image.Image:
    long = rng.choice(LARGE if number % 20 == 0 else LONG_SIDES)
    size = (long, max(8, int(long / rng.choice(RATIOS))))
    x, y = rng.randrange(200), rng.randrange(130)
    piece = scene.crop((x, y, x + rng.randrange(60, 220), y + rng.randrange(60, 150)))
    turned = size[::-1] if rng.random() < 0.4 else size
    return piece.convert("RGB").resize(turned, Image.Resampling.BILINEAR)


def _save(rng: Random, photo: Image.Image, stem: Path) -> None:
    kind = rng.choice(FORMATS) if max(photo.size) < 1280 else "jpg"
    exif = Image.Exif()
    exif[ORIENTATION] = rng.choice((1, 1, 1, 3, 6, 8))
    given = {"png": {"compress_level": 1}, "webp": {"method": 0, "exif": exif}}
    photo.save(stem.with_suffix(f".{kind}"), **given.get(kind, {"quality": 60, "exif": exif}))


@pytest.fixture
def rich(person: Person, endpoint: Endpoint) -> Person:
    """A user whose account limits do not slow the test down."""
    endpoint.process.configure(tier="V4")
    person.settings["OVERSTORY_TIER"] = "V4"
    return person


@pytest.mark.parametrize(
    ("chosen", "detail"), [("*", "low"), ("0[01]*", "high")], ids=["low", "high"]
)
def test_the_estimate_of_mixed_photos_is_within_5_percent_of_the_bill(
    rich: Person, endpoint: Endpoint, photos: Path, chosen: str, detail: str
) -> None:
    """500 at low detail, 200 of them at high detail, which takes three times as much CPU."""
    chosen = str(photos / chosen)
    words = [chosen, "--ask", ASK, "--detail", detail, "--json"]
    guess = parsed(rich.say("estimate", *words))
    assert endpoint.stats()["calls"] == endpoint.stats()["uploads"] == 0
    bill = rich.run(chosen, "--detail", detail, "--json", "--quiet", ask=ASK).result["usage"]
    for tokens in ("prompt_tokens", "completion_tokens", "cached_tokens"):
        assert bill[tokens] == endpoint.stats()[tokens]
    assert guess["requests"] == bill["requests"] == endpoint.stats()["paid"]
    assert guess["prompt_tokens"] == pytest.approx(bill["prompt_tokens"], rel=0.05)
    assert guess["cost"] == pytest.approx(bill["cost"], rel=0.05)
    learned = parsed(rich.say("estimate", *words))
    assert learned["past_calls"] == bill["requests"]
    assert learned["cost"] == pytest.approx(bill["cost"], rel=0.02)
