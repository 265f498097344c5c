"""Bare image work: decode, resize and encode the same files, a process a core, and nothing else."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from clients import imaging
from core.images import ImageLimits

LIMITS = ImageLimits()
SAMPLE = 400


@dataclass(frozen=True, slots=True)
class Bare:
    """Seconds an image: of one core's CPU, and of the clock with every core at work."""

    cpu: float
    wall: float


def measure(files: Sequence[Path], cores: int) -> Bare:
    """The price of preparing ``files`` (a sample of them, where there are many)."""
    chosen = files[:: max(1, len(files) // SAMPLE)][:SAMPLE]
    parts = [chosen[core::cores] for core in range(cores)]
    with ProcessPoolExecutor(cores) as pool:
        list(pool.map(_work, [chosen[:2]] * cores))  # processes are up, decoders are loaded
        begun = time.monotonic()
        cpu = sum(pool.map(_work, parts))
        wall = time.monotonic() - begun
    return Bare(cpu / len(chosen), wall / len(chosen))


def _work(files: Sequence[Path]) -> float:
    """CPU seconds of this process for ``files``."""
    begun = time.process_time()
    for path in files:
        imaging.prepare(path, detail="low", limits=LIMITS)
    return time.process_time() - begun


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))
