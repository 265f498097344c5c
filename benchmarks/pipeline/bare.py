"""Bare image work: only read, decode, resize and encode the same files, one process per core. Only
CPU time counts, so time spent waiting for the disk is not in the bounds."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from benchmarks.pipeline.photographs import MODELS
from benchmarks.pipeline.pictures import forget
from clients.images.prepare import prepare
from core.images.sizing import ImageLimits

LIMITS = ImageLimits()
ROUNDS = 3
"""Times all photographs: 78 pictures, 1.2 s on two cores at 12 megapixels."""


def measure(files: Sequence[Path], cores: int) -> float:
    """CPU seconds per image, with every core at work on ``files`` (a sample of a large set)."""
    chosen = sample(files)
    with ProcessPoolExecutor(cores) as pool:
        list(pool.map(_warm, [chosen[:2]] * cores))  # start the processes, load the decoders
        forget(chosen)
        return sum(pool.map(_work, chosen)) / len(chosen)


def sample(files: Sequence[Path]) -> list[Path]:
    """``ROUNDS`` ranges spread over the set; each range has every photograph once."""
    if len(files) <= ROUNDS * MODELS:
        return list(files)
    step = (len(files) - MODELS) // (ROUNDS - 1)
    return [path for at in range(ROUNDS) for path in files[at * step : at * step + MODELS]]


def _warm(files: Sequence[Path]) -> None:
    for path in files:
        _work(path)


def _work(path: Path) -> float:
    """CPU seconds that this process needs for one file."""
    begun = time.process_time()
    prepare(path, detail="low", limits=LIMITS)
    return time.process_time() - begun


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))
