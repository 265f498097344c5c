"""Pictures to ask about: a few made photographs, each copy with a number drawn into it.

The number is in the pixels, so that two pictures differ after they are prepared, too: the same
bytes would be uploaded once, the same pixels found as a duplicate.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[2]
MODELS = 26
"""One of each scene that examples/make_photos.py paints."""
BLOCK, BITS, COLUMNS = 24, 18, 9
QUALITY = 82
LIGHT, DARK = (250, 250, 250), (5, 5, 5)


def picture_set(folder: Path, count: int, side: int) -> Path:
    """A folder of ``count`` pictures, ``side`` pixels wide; made on first use, then kept.

    Sets share their files: a smaller one is links to the first of the largest.
    """
    chosen = folder / f"set-{side}-{count}"
    if chosen.exists():
        return chosen
    stock = folder / f"stock-{side}"
    made = len(list(stock.glob("*.jpg"))) if stock.exists() else 0
    if made < count:
        _make(folder, stock, range(made, count), side)
    part = chosen.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    for number in range(count):
        os.link(stock / _name(number), part / _name(number))
    part.rename(chosen)
    return chosen


def _make(folder: Path, stock: Path, numbers: range, side: int) -> None:
    models = _models(folder)
    stock.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor() as pool:
        for _ in pool.map(partial(_draw, models, stock, side), numbers, chunksize=50):
            pass


def _models(folder: Path) -> list[Path]:
    models = folder / "models"
    if not models.exists():
        part = folder / "models.part"
        shutil.rmtree(part, ignore_errors=True)
        script = ROOT / "examples" / "make_photos.py"
        words = [sys.executable, str(script), "--out", str(part), "--count", str(MODELS)]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
        part.rename(models)
    return sorted(path for path in models.rglob("*") if path.is_file())


def _draw(models: list[Path], stock: Path, side: int, number: int) -> None:
    with Image.open(models[number % len(models)]) as found:
        picture = found.convert("RGB").resize((side, side * 3 // 4))
    for bit in range(BITS):
        row, column = divmod(bit, COLUMNS)
        left, top = column * BLOCK, row * BLOCK
        colour = LIGHT if number >> bit & 1 else DARK
        picture.paste(colour, (left, top, left + BLOCK, top + BLOCK))
    picture.save(stock / _name(number), "JPEG", quality=QUALITY)


def _name(number: int) -> str:
    return f"{number + 1:06d}.jpg"
