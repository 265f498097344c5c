"""Makes photographs of till receipts: a strip of paper with a shop, lines and a total.

python examples/receipts/make_receipts.py build/examples/receipts
"""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random

from PIL import Image, ImageDraw

RECEIPTS = 24
SHOPS = ("Corner Café", "Green Grocer", "Paper & Pen", "City Taxi", "Harbour Hotel")
GOODS = ("coffee", "bread", "apples", "notebook", "ride", "night", "water", "pen")


def main(out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for number in range(1, RECEIPTS + 1):
        _receipt(Random(f"receipt/{number}"), number).save(
            out / f"receipt-{number:02}.jpg", quality=82
        )


def _receipt(rng: Random, number: int) -> Image.Image:
    lines = rng.randint(2, 7)
    paper = Image.new("RGB", (420, 300 + 34 * lines), (247, 245, 239))
    draw = ImageDraw.Draw(paper)
    ink = (40, 40, 46)
    draw.text((40, 36), rng.choice(SHOPS), fill=ink, font_size=30)
    draw.text(
        (40, 84), f"2026-{rng.randint(1, 11):02}-{rng.randint(1, 28):02}", fill=ink, font_size=20
    )
    total, y = 0.0, 140
    for _ in range(lines):
        price = rng.randint(120, 4900) / 100
        total += price
        draw.text((40, y), rng.choice(GOODS), fill=ink, font_size=20)
        draw.text((300, y), f"{price:8.2f}", fill=ink, font_size=20)
        y += 34
    draw.line((40, y + 6, 380, y + 6), fill=ink, width=2)
    draw.text((40, y + 20), "TOTAL EUR", fill=ink, font_size=24)
    draw.text((288, y + 20), f"{total:8.2f}", fill=ink, font_size=24)
    draw.text((40, y + 70), f"No. {8100 + number}", fill=ink, font_size=16)
    table = Image.new("RGB", (640, paper.height + 120), rng.choice([(112, 84, 60), (90, 96, 104)]))
    table.paste(paper, (110, 60))
    return table


if __name__ == "__main__":
    main(Path(sys.argv[1]))
