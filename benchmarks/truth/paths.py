"""What each way of preparing an image leaves to be read."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.eyes import fields
from benchmarks.eyes.reading import Reader
from benchmarks.truth.receipts import Receipt
from benchmarks.truth.verdict import judged
from clients.images.prepare import prepare
from core.catalog.tokens import Detail
from core.images.sizing import ImageLimits

FIELDS = ("shop", "date", "number", "total", "prices")
QUALITY = 80
ORIGINAL, CAREFUL, CAREFUL_JPEG = "original bytes", "careful resize", "careful, quality 80"
PILLOW, VIPS = "sent (Pillow)", "sent (libvips)"
PATHS = (CAREFUL, CAREFUL_JPEG, PILLOW, VIPS)


@dataclass(frozen=True, slots=True)
class Score:
    """Which fields of which images were read right by one path."""

    path: str
    detail: str
    right: dict[tuple[str, str], bool]

    @property
    def share(self) -> float:
        return sum(self.right.values()) / len(self.right)


def sent(path: Path, detail: Detail, name: str) -> bytes:
    """The bytes that the path ``name`` makes of the file; for ORIGINAL the file's own."""
    if name == ORIGINAL:
        return path.read_bytes()
    ours = prepare(
        path,
        detail=detail,
        limits=ImageLimits(),
        accelerator="vips" if name == VIPS else "none",
    )
    if name in (PILLOW, VIPS):
        return ours.data
    return careful(path, (ours.width, ours.height), name == CAREFUL_JPEG)


def careful(path: Path, size: tuple[int, int], lossy: bool) -> bytes:
    """A full decode and one LANCZOS pass in floats; as PNG, or as JPEG of the quality we send."""
    with Image.open(path) as image:
        bands = [Image.fromarray(np.asarray(b, np.float32)) for b in image.convert("RGB").split()]
    small = [np.asarray(b.resize(size, Image.Resampling.LANCZOS)) for b in bands]
    pixels = Image.fromarray(np.stack(small, -1).round().clip(0, 255).astype(np.uint8))
    out = io.BytesIO()
    pixels.save(out, "JPEG" if lossy else "PNG", quality=QUALITY)
    return out.getvalue()


class Scores:
    """What the eyes read right of ``made``, by path and detail. Each is prepared and read once."""

    def __init__(self, made: Sequence[Receipt], reader: Reader) -> None:
        self.made, self.reader = made, reader
        self._known: dict[tuple[str, Detail], Score] = {}

    def of(self, name: str, detail: Detail) -> Score:
        if (name, detail) not in self._known:
            self._known[name, detail] = self._read(name, detail)
        return self._known[name, detail]

    def _read(self, name: str, detail: Detail) -> Score:
        right: dict[tuple[str, str], bool] = {}
        for one in self.made:
            found = fields.read(self.reader.rows(sent(one.path, detail, name)), FIELDS)
            values = {field: given.value if given else None for field, given in found.items()}
            verdicts = judged(values, one.truth)
            right |= {(one.path.name, field): ok for field, ok in verdicts.items()}
        return Score(name, "" if name == ORIGINAL else detail, right)
