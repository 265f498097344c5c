"""The photographs that all pictures are copies of: made once, at the size of a phone's camera.

examples/make_photos.py paints small ones (about 960 x 640). Enlarged, they are smoother than a
sensor's picture: a JPEG of 450 KB at 12 megapixels. So grain is added at 4000 x 3000, in three
sizes (1, 2 and 4 pixels: noise, and the fine texture of a phone's sharpening). Files are then 1.49
to 1.66 MB, 1.55 MB on average, so a decoder reads as many bits as from a phone's file. A narrower
set is made by shrinking these: at 960 x 720 files are 88 to 126 KB, 104 KB on average.
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
"""Width of a grain in pixels -> standard deviation of its brightness (of 255)."""
QUALITY = 84

Light = np.ndarray[Any, np.dtype[np.float32]]


def photographs(folder: Path, side: int) -> list[Path]:
    """The photographs as JPEGs, ``side`` pixels wide; made on first use and kept in ``folder``."""
    chosen = folder / f"photographs-{side}"
    if not chosen.exists():
        part = _empty_folder(chosen.with_suffix(".part"))
        with ProcessPoolExecutor() as pool:
            list(pool.map(partial(_photograph, part, side), range(MODELS), _painted(folder)))
        part.rename(chosen)
    return sorted(chosen.iterdir())


def save(picture: Image.Image, out: Path | BinaryIO) -> None:
    """Save with fixed quality, sampling and Huffman tables and a restart marker after every row of
    blocks, so that pictures of one width can exchange rows (``restarts``)."""
    picture.save(out, "JPEG", quality=QUALITY, subsampling="4:2:0", restart_marker_rows=1)


def _painted(folder: Path) -> list[Path]:
    """The small originals, in all sizes and formats."""
    models = folder / "models"
    if not models.exists():
        part = _empty_folder(folder / "models.part")
        script = ROOT / "examples" / "make_photos.py"
        argv = [sys.executable, str(script), "--out", str(part), "--count", str(MODELS)]
        subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
        part.rename(models)
    return sorted(path for path in models.rglob("*") if path.is_file())


def _photograph(part: Path, side: int, number: int, painted: Path) -> None:
    with Image.open(painted) as image:
        enlarged = ImageOps.fit(image.convert("RGB"), FULL, Image.Resampling.BICUBIC)
    grained = np.asarray(enlarged, np.float32) + _grain(number)[..., None]
    picture = Image.fromarray(grained.clip(0, 255).astype(np.uint8))
    if side != FULL[0]:
        picture = picture.resize((side, side * 3 // 4), Image.Resampling.LANCZOS)
    save(picture, part / f"{number:02d}.jpg")


def _grain(seed: int) -> Light:
    """Brightness to add to each pixel; the same seed always gives the same grain."""
    rng = np.random.default_rng(seed)
    total = np.zeros(FULL[::-1], np.float32)
    for pixels, deviation in GRAIN.items():
        across, down = (-(-side // pixels) for side in FULL)
        speckles = Image.fromarray(rng.standard_normal((down, across), np.float32) * deviation)
        total += np.asarray(speckles.resize(FULL, Image.Resampling.BICUBIC))
    return total


def _empty_folder(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
