"""Makes the shots of an inspection walk: concrete, section by section, with rust on some.

python examples/site_inspection/make_site.py build/examples/site_inspection
"""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random

from PIL import Image, ImageDraw, ImageFilter

SECTIONS, SHOTS = 6, 15
SIZE = (800, 600)
RUST = (150, 62, 28)
RUSTY = {(2, 4), (2, 5), (4, 11), (5, 1), (5, 2), (5, 3)}
"""(section, shot), from 1. A correct answer names them."""


def main(out: Path) -> None:
    for section in range(1, SECTIONS + 1):
        folder = out / f"section {section}"
        folder.mkdir(parents=True, exist_ok=True)
        for shot in range(1, SHOTS + 1):
            rng = Random(f"site/{section}/{shot}")
            wall = _crack(rng, _concrete(rng))
            if (section, shot) in RUSTY:
                wall = _rust(rng, wall)
            wall.save(folder / f"shot {shot:02d}.jpg", quality=72)


def _concrete(rng: Random) -> Image.Image:
    shade = rng.randint(120, 165)
    grain = Image.effect_noise(SIZE, 26).point(
        [max(0, min(255, shade + v - 128)) for v in range(256)]
    )
    return grain.filter(ImageFilter.GaussianBlur(0.8)).convert("RGB")


def _crack(rng: Random, wall: Image.Image) -> Image.Image:
    draw = ImageDraw.Draw(wall)
    for _ in range(rng.randint(0, 2)):
        x, y = rng.randrange(SIZE[0]), 0
        while y < SIZE[1]:
            step = (x + rng.randint(-14, 14), y + rng.randint(8, 26))
            draw.line(((x, y), step), fill=(66, 64, 62), width=rng.randint(1, 3))
            x, y = step
    return wall


def _rust(rng: Random, wall: Image.Image) -> Image.Image:
    """Rust on most of the surface, with streaks below it."""
    mask = Image.new("L", SIZE, 0)
    draw = ImageDraw.Draw(mask)
    for _ in range(26):
        x, y = rng.randrange(SIZE[0]), rng.randrange(SIZE[1] // 2)
        wide, high = rng.randint(80, 190), rng.randint(60, 150)
        draw.ellipse((x - wide, y - high, x + wide, y + high), fill=235)
        draw.rectangle((x - 12, y, x + 12, y + rng.randint(120, 380)), fill=200)
    wall.paste(Image.new("RGB", SIZE, RUST), mask=mask.filter(ImageFilter.GaussianBlur(9)))
    return wall


if __name__ == "__main__":
    main(Path(sys.argv[1]))
