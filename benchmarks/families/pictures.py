"""A set of pictures of many sizes and shapes, cheap to draw and to encode."""

from __future__ import annotations

import random
from pathlib import Path

from PIL import Image

SIDES = (120, 320, 640, 1_024, 1_600, 2_400, 3_600, 5_000)
SHAPES = (1.0, 4 / 3, 3 / 2, 16 / 9, 2.2, 3.5)


def draw(folder: Path, count: int, seed: int = 23) -> Path:
    """``count`` pictures in ``folder``: all pairs of SIDES and SHAPES in turn, some upright."""
    folder.mkdir(parents=True)
    chance = random.Random(seed)
    for number in range(count):
        long = round(SIDES[number % len(SIDES)] * chance.uniform(0.9, 1.1))
        size = (long, max(40, round(long / SHAPES[number % len(SHAPES)])))
        small = Image.effect_noise((24, 16), 90).convert("RGB")
        picture = small.resize(size if number % 3 else size[::-1], Image.Resampling.BILINEAR)
        picture.paste((number * 37 % 256, number * 91 % 256, number * 13 % 256), (4, 4, 30, 30))
        picture.save(folder / f"{number:03}.jpg", quality=70)
    return folder
