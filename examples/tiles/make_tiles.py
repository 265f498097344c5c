"""Makes photographs of glazed tiles, and truth.csv: the colour and the format of each one.

python examples/tiles/make_tiles.py build/examples/tiles
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from random import Random

from PIL import Image, ImageDraw, ImageFilter

TILES = 84
GLAZES = {
    "black": (22, 22, 24),
    "white": (244, 244, 240),
    "grey": (136, 136, 138),
    "red": (188, 30, 36),
    "brown": (124, 76, 34),
    "yellow": (226, 200, 44),
    "green": (44, 140, 70),
    "teal": (36, 150, 150),
    "blue": (38, 76, 188),
    "purple": (112, 48, 172),
    "pink": (226, 92, 160),
    "beige": (232, 208, 164),
}
FORMATS = {"square": (300, 300), "landscape": (400, 260), "portrait": (260, 400)}


def main(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    with (out / "truth.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("file", "colour", "format"))
        for number in range(1, TILES + 1):
            chance = Random(f"tile/{number}")
            colour, format_ = chance.choice(list(GLAZES)), chance.choice(list(FORMATS))
            name = f"tile-{number:02}.jpg"
            _tile(chance, GLAZES[colour], FORMATS[format_]).save(out / name, quality=85)
            rows.writerow((name, colour, format_))


def _tile(chance: Random, glaze: tuple[int, int, int], size: tuple[int, int]) -> Image.Image:
    """One tile on a pale wall, with uneven glaze and a joint around it."""
    wide, high = size
    photo = Image.new("RGB", size, (206, 204, 200))
    draw = ImageDraw.Draw(photo)
    draw.rounded_rectangle((8, 8, wide - 9, high - 9), 10, glaze)
    for _ in range(140):
        x, y, r = chance.randrange(wide), chance.randrange(high), chance.randint(3, 22)
        shade = chance.uniform(0.94, 1.06)
        tone = tuple(min(255, round(channel * shade)) for channel in glaze)
        draw.ellipse((x - r, y - r, x + r, y + r), fill=tone)
    return photo.filter(ImageFilter.GaussianBlur(1.2))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
