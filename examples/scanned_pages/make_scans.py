"""Makes a PDF like an office scanner: letters, one blank page, one on green paper, one dark.

python examples/scanned_pages/make_scans.py build/examples/scanned_pages
"""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random

from PIL import Image, ImageDraw

PAGES, SIZE = 14, (620, 877)  # A4 at 75 dots an inch
BLANK, GREEN, DARK = 6, 9, 12
"""Page numbers, from 1. A correct answer names them."""
WORDS = (
    "delivery invoice order paid received goods amount total date number customer account "
    "please find enclosed our offer for the work described below with kind regards"
)


def main(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    first, *others = [_page(number) for number in range(1, PAGES + 1)]
    first.save(out / "scans.pdf", save_all=True, append_images=others, resolution=75.0, quality=60)


def _page(number: int) -> Image.Image:
    paper = {GREEN: (150, 200, 140), DARK: (58, 56, 54)}.get(number, (250, 250, 247))
    page = Image.new("RGB", SIZE, paper)
    if number != BLANK:
        _letter(Random(f"scan/{number}"), ImageDraw.Draw(page), number)
    return page


def _letter(rng: Random, draw: ImageDraw.ImageDraw, number: int) -> None:
    draw.text((70, 70), f"No. {4700 + number}", fill=(30, 30, 40), font_size=22)
    words = WORDS.split()
    y = 150
    for _ in range(rng.randint(3, 5)):
        for _ in range(rng.randint(3, 6)):
            line = " ".join(rng.choice(words) for _ in range(9))
            draw.text((70, y), line, fill=(30, 30, 40), font_size=14)
            y += 22
        y += 24
    draw.text((70, y + 20), f"Total {rng.randint(1000, 99999) / 100:.2f}", fill=(30, 30, 40))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
