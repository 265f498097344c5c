"""The photographs that every picture is a copy of: painted once, at the size a phone takes them.

examples/make_photos.py paints small ones (960 x 640 and like). Enlarged they are smoother than any
sensor's picture, a JPEG of 450 KB at 12 megapixels. So grain is laid over them at 4000 x 3000, at
three sizes (1, 2 and 4 pixels: noise, and the fine texture that a phone's own sharpening leaves).
With it a file weighs 1.49 to 1.66 MB, 1.55 on average, so a decoder has as many bits to read as in
a phone's. A narrower set is these, shrunk: at 960 x 720 a file weighs 88 to 126 KB, 104 on average.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageOps

ROOT = Path(__file__).parents[2]
MODELS = 26
"""One of each scene that examples/make_photos.py paints."""
FULL = (4000, 3000)
"""Pixels of a 12-megapixel phone."""
GRAIN = {1: 2.0, 2: 3.0, 4: 4.0}
"""Pixels a grain is wide, and the standard deviation of its light (of 255)."""
QUALITY = 84

Light = np.ndarray[Any, np.dtype[np.float32]]


def photographs(folder: Path, side: int) -> list[Path]:
    """The models as JPEGs, ``side`` pixels wide; made on first use, then kept in ``folder``."""
    chosen = folder / f"photographs-{side}"
    if not chosen.exists():
        part = _emptied(chosen.with_suffix(".part"))
        with ProcessPoolExecutor() as pool:
            list(pool.map(partial(_photograph, part, side), range(MODELS), _painted(folder)))
        part.rename(chosen)
    return sorted(chosen.iterdir())


def save(picture: Image.Image, out: Path | BinaryIO) -> None:
    """One quality, one sampling and the standard's Huffman tables for all, with a restart marker
    after every row of blocks: rows of pictures of one width can be exchanged (``restarts``)."""
    picture.save(out, "JPEG", quality=QUALITY, subsampling="4:2:0", restart_marker_rows=1)


def _painted(folder: Path) -> list[Path]:
    """The small originals, of all sizes and formats."""
    models = folder / "models"
    if not models.exists():
        part = _emptied(folder / "models.part")
        script = ROOT / "examples" / "make_photos.py"
        words = [sys.executable, str(script), "--out", str(part), "--count", str(MODELS)]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
        part.rename(models)
    return sorted(path for path in models.rglob("*") if path.is_file())


def _photograph(part: Path, side: int, number: int, painted: Path) -> None:
    with Image.open(painted) as found:
        enlarged = ImageOps.fit(found.convert("RGB"), FULL, Image.Resampling.BICUBIC)
    grained = np.asarray(enlarged, np.float32) + _grain(number)[..., None]
    picture = Image.fromarray(grained.clip(0, 255).astype(np.uint8))
    if side != FULL[0]:
        picture = picture.resize((side, side * 3 // 4), Image.Resampling.LANCZOS)
    save(picture, part / f"{number:02d}.jpg")


def _grain(seed: int) -> Light:
    """Light to add to each pixel, the same for ever for the same seed."""
    rng = np.random.default_rng(seed)
    total = np.zeros(FULL[::-1], np.float32)
    for pixels, deviation in GRAIN.items():
        across, down = (-(-side // pixels) for side in FULL)
        speckles = Image.fromarray(rng.standard_normal((down, across), np.float32) * deviation)
        total += np.asarray(speckles.resize(FULL, Image.Resampling.BICUBIC))
    return total


def _emptied(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
