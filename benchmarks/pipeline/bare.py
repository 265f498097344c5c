"""Bare image work: read, decode, resize and encode the same files, a process a core, and nothing
else. What a process waits for the disk is no CPU, so it is in no bound."""

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
"""Of all photographs: 78 pictures, 1.2 s on two cores where they have 12 megapixels."""


def measure(files: Sequence[Path], cores: int) -> float:
    """CPU seconds of one core an image, with every core at work on ``files`` (a sample of them,
    where there are many)."""
    chosen = sample(files)
    with ProcessPoolExecutor(cores) as pool:
        list(pool.map(_warm, [chosen[:2]] * cores))  # processes are up, decoders are loaded
        forget(chosen)
        return sum(pool.map(_work, chosen)) / len(chosen)


def sample(files: Sequence[Path]) -> list[Path]:
    """``ROUNDS`` runs of neighbours, each with every photograph once, from all over the set."""
    if len(files) <= ROUNDS * MODELS:
        return list(files)
    apart = (len(files) - MODELS) // (ROUNDS - 1)
    return [path for at in range(ROUNDS) for path in files[at * apart : at * apart + MODELS]]


def _warm(files: Sequence[Path]) -> None:
    for path in files:
        _work(path)


def _work(path: Path) -> float:
    """CPU seconds of this process for one file."""
    begun = time.process_time()
    prepare(path, detail="low", limits=LIMITS)
    return time.process_time() - begun


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))
