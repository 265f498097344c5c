"""Pictures: mutated files of every format. Each becomes a picture or a refusal with a code."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks.fuzz.kind import Kind, check
from benchmarks.fuzz.mutations import of_bytes
from clients import local_files
from clients.images import prepare
from clients.images.decoder import Decoder
from core.catalog.tokens import Detail
from core.errors import ImageRefused, RefusalCode
from core.images.sizing import Accelerator, DecoderLimits, ImageLimits
from tests.support import corpus

LIMITS = ImageLimits()
DECODING = DecoderLimits(seconds=5.0)
Case = tuple[str, bytes, Detail, int]
"""Name of the original, bytes, detail, and a number that chooses the page."""


def originals(width: int = 240, height: int = 176) -> list[tuple[str, bytes]]:
    """The valid files of the corpus, small, so that parsing takes most of the time."""
    corpus.WIDTH, corpus.HEIGHT = width, height
    with tempfile.TemporaryDirectory() as folder:
        goods, _ = corpus.build(Path(folder))
        names = sorted({good.name for good in goods})
        return [(name, (Path(folder) / name).read_bytes()) for name in names]


@dataclass
class Pictures:
    """Through the decoding process, as a worker does it."""

    files: list[tuple[str, bytes]]
    path: Path
    decoder: Decoder

    def make(self, draw: random.Random) -> Case:
        (name, original), (_, other) = draw.choice(self.files), draw.choice(self.files)
        detail: Literal["low", "high"] = draw.choice(("low", "high"))
        return name, of_bytes(draw, original, other), detail, draw.randrange(100)

    def run(self, case: Case) -> str:
        _, data, detail, number = case
        self.path.write_bytes(data)
        try:
            with local_files.opened(self.path, LIMITS.max_file_bytes) as (file, size):
                pages = self.decoder.pages(file, size, LIMITS)
                page = 1 + number % pages
                self.decoder.prepare(file, size, detail=detail, limits=LIMITS, page=page)
        except ImageRefused as refused:
            return refusal(refused)
        return "prepared"


def refusal(refused: ImageRefused) -> str:
    """The code of a refusal; a decoder that was killed is named, because it should be rare."""
    check(refused.reason, "refused without a reason")
    if refused.code == RefusalCode.CORRUPT and "crashed" in refused.reason:
        return "refused: its decoder crashed"
    return f"refused: {refused.code}"


@contextmanager
def opened() -> Iterator[Pictures]:
    with tempfile.TemporaryDirectory() as folder:
        yield Pictures(originals(), Path(folder) / "mutated", Decoder(DECODING))


@dataclass
class Agreeing:
    """In this process, with and without libvips: the outcome must be the same."""

    files: list[tuple[str, bytes]]
    path: Path

    def make(self, draw: random.Random) -> Case:
        (name, original), (_, other) = draw.choice(self.files), draw.choice(self.files)
        detail: Literal["low", "high"] = draw.choice(("low", "high"))
        return name, of_bytes(draw, original, other), detail, draw.randrange(100)

    def run(self, case: Case) -> str:
        self.path.write_bytes(case[1])
        fast, plain = self._outcome(case, "vips"), self._outcome(case, "none")
        check(fast == plain, f"with libvips {fast}, without {plain}")
        return fast

    def _outcome(self, case: Case, accelerator: Accelerator) -> str:
        _, _, detail, number = case
        try:
            page = 1 + number % prepare.page_count(self.path, LIMITS)
            prepare.prepare(
                self.path, detail=detail, limits=LIMITS, page=page, accelerator=accelerator
            )
        except ImageRefused as refused:
            return refusal(refused)
        return "prepared"


@contextmanager
def opened_with_vips() -> Iterator[Agreeing]:
    """The formats that libvips reads, large enough that it is used."""
    files = [file for file in originals(1680, 1200) if file[0].endswith((".jpg", ".png", ".webp"))]
    with tempfile.TemporaryDirectory() as folder:
        yield Agreeing(files, Path(folder) / "mutated")


KIND = Kind("image", 15_000, opened, wall_seconds=60.0)
VIPS = Kind("vips", 0, opened_with_vips, cpu_seconds=20.0, wall_seconds=120.0)
