"""Fuzz ``prepare`` with mutated real files: it must return an image or refuse with a code.

    python -m benchmarks.fuzz_images [--mutations 20000] [--seed 1] [--workers 2]
    python -m benchmarks.fuzz_images --accelerator vips --mutations 5000

With an accelerator, the outcome of a file (one word) must be the same with and without it.
Mutation number n of a seed always has the same bytes, so ``--only n`` repeats a finding.
Workers are processes: one that crashes is replaced, one that hangs is killed and replaced. Both are
findings (exit status 1). The default run takes some minutes.
"""

from __future__ import annotations

import argparse
import ctypes
import faulthandler
import multiprocessing
import random
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

from clients.images.prepare import page_count, prepare
from core.catalog.tokens import Detail
from core.errors import ImageRefused
from core.images.sizing import Accelerator, ImageLimits
from tests.support import corpus

HANG_SECONDS = 60.0
HEADER_BYTES = 600
LIMITS = ImageLimits()
NASTY = (
    b"\0",
    b"\xff",
    b"\xff\xff",
    b"\0\0\0\0",
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\xff",
    b"\x80",
)

Mutation = Callable[[random.Random, bytearray, bytes], None]


# --- mutations


def _flip(rng: random.Random, data: bytearray, _other: bytes) -> None:
    for _ in range(rng.choice((1, 1, 2, 5, 20, 100))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _header(rng: random.Random, data: bytearray, _other: bytes) -> None:
    for _ in range(rng.choice((1, 2, 4))):
        at, value = rng.randrange(min(len(data), HEADER_BYTES)), rng.choice(NASTY)
        data[at : at + len(value)] = value


def _cut(rng: random.Random, data: bytearray, _other: bytes) -> None:
    del data[rng.randrange(len(data)) :]


def _remove(rng: random.Random, data: bytearray, _other: bytes) -> None:
    at = rng.randrange(len(data))
    del data[at : at + rng.choice((1, 2, 4, 16, 256, 4096))]


def _repeat(rng: random.Random, data: bytearray, _other: bytes) -> None:
    at, size = rng.randrange(len(data)), rng.choice((1, 4, 64, 1024))
    data[at:at] = data[at : at + size] * rng.choice((1, 2, 50))


def _blank(rng: random.Random, data: bytearray, _other: bytes) -> None:
    at, size = rng.randrange(len(data)), rng.choice((2, 8, 64, 2048))
    data[at : at + size] = rng.choice((b"\0", b"\xff", b"A")) * len(data[at : at + size])


def _splice(rng: random.Random, data: bytearray, other: bytes) -> None:
    at = rng.randrange(len(data))
    data[at:] = other[min(at, len(other) - 1) :]


MUTATIONS: tuple[Mutation, ...] = (_flip, _header, _header, _cut, _remove, _repeat, _blank, _splice)


def mutated(number: int, seed: int, files: list[tuple[str, bytes]]) -> tuple[str, bytes]:
    """Name of the original and the bytes of mutation ``number``."""
    rng = random.Random(f"{seed}/{number}")
    (name, original), (_, other) = files[number % len(files)], rng.choice(files)
    data = bytearray(original)
    for mutation in rng.choices(MUTATIONS, k=rng.choice((1, 1, 2, 3))):
        if data:
            mutation(rng, data, other)
    return name, bytes(data)


def originals(accelerator: Accelerator) -> list[tuple[str, bytes]]:
    """The valid files of the corpus, small, so that parsing takes most of the time.

    With an accelerator: only the formats that it reads, large enough that it is used.
    """
    accelerated = accelerator != "none"
    corpus.WIDTH, corpus.HEIGHT = (1680, 1200) if accelerated else (240, 176)
    with tempfile.TemporaryDirectory() as folder:
        goods, _ = corpus.build(Path(folder))
        names = sorted({good.name for good in goods})
        if accelerated:
            names = [name for name in names if name.endswith((".jpg", ".png", ".webp"))]
        return [(name, (Path(folder) / name).read_bytes()) for name in names]


# --- one process


def outcome(path: Path, number: int, accelerator: Accelerator) -> str:
    """The outcome of a file, as one word. Any exception but ImageRefused is a crash."""
    word = outcome_with(path, number, accelerator)
    if accelerator != "none" and (without := outcome_with(path, number, "none")) != word:
        return f"DIFFERS: {word}, without {accelerator} {without}"
    return word


def outcome_with(path: Path, number: int, accelerator: Accelerator) -> str:
    try:
        pages = page_count(path, LIMITS)
        detail: Detail = "low" if number % 2 else "high"
        page = 1 + number % pages
        prepare(path, detail=detail, limits=LIMITS, page=page, accelerator=accelerator)
    except ImageRefused as refused:
        return f"refused: {refused.code}" if refused.reason else "refused without a reason"
    except BaseException as error:
        return f"CRASH: {type(error).__name__}: {error}"
    return "prepared"


def work(numbers: range, seed: int, accelerator: Accelerator, current: Any, results: Any) -> None:
    """Try the mutations one by one; ``current`` holds the number and the start time of each."""
    faulthandler.enable()
    files = originals(accelerator)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mutated"
        for number in numbers:
            _, data = mutated(number, seed, files)
            path.write_bytes(data)
            current[0], current[1] = number, time.monotonic()
            word = outcome(path, number, accelerator)
            results.put((number, word, time.monotonic() - current[1]))
    current[0] = -1
    results.put((-1, "peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


@dataclass
class Worker:
    """A process, its mutations, and the one it works on."""

    process: SpawnProcess
    numbers: range
    current: Any

    def stuck(self) -> bool:
        number, since = self.current
        return bool(number >= 0 and time.monotonic() - since > HANG_SECONDS)


class Run:
    """All processes of a run; a new one continues after the mutation that ended another."""

    def __init__(self, seed: int, accelerator: Accelerator) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._seed, self._accelerator = seed, accelerator
        self._results = self._context.Queue()
        self.counts: Counter[str] = Counter()
        self.findings: list[str] = []
        self.slowest, self.peak_mb = (0.0, -1), 0.0

    def run(self, mutations: int, workers: int) -> None:
        running = [self._start(range(first, mutations, workers)) for first in range(workers)]
        while running:
            self._drain()
            running = [kept for worker in running if (kept := self._watched(worker)) is not None]
        self._drain()

    def _start(self, numbers: range) -> Worker:
        current = self._context.Array(ctypes.c_double, [-1, 0], lock=False)
        process = self._context.Process(
            target=work, args=(numbers, self._seed, self._accelerator, current, self._results)
        )
        process.start()
        return Worker(process, numbers, current)

    def _watched(self, worker: Worker) -> Worker | None:
        if worker.process.is_alive() and not worker.stuck():
            return worker
        number = int(worker.current[0])
        if number < 0 and worker.process.exitcode == 0:
            return None
        word = "HANG" if worker.process.is_alive() else f"DIED ({worker.process.exitcode})"
        worker.process.kill()
        worker.process.join()
        self._note(number, word)
        rest = worker.numbers[worker.numbers.index(number) + 1 :] if number >= 0 else range(0)
        return self._start(rest) if rest else None

    def _drain(self) -> None:
        deadline = time.monotonic() + 0.5
        while time.monotonic() < deadline:
            try:
                number, word, value = self._results.get(timeout=0.1)
            except Exception:  # queue.Empty, or a partial message of a killed worker
                continue
            if number < 0:
                self.peak_mb = max(self.peak_mb, value)
                continue
            self.slowest = max(self.slowest, (value, number))
            self._note(number, word)

    def _note(self, number: int, word: str) -> None:
        self.counts[word.split(":")[0] if word.startswith(("CRASH", "DIFFERS")) else word] += 1
        if word.startswith(("CRASH", "DIFFERS", "DIED", "HANG", "refused without")):
            self.findings.append(f"mutation {number}: {word}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutations", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", type=int, help="repeat one mutation in this process")
    parser.add_argument("--accelerator", choices=("none", "vips"), default="none")
    args = parser.parse_args()
    if args.only is not None:
        return _repeat_one(args.only, args.seed, args.accelerator)
    started, run = time.monotonic(), Run(args.seed, args.accelerator)
    run.run(args.mutations, args.workers)
    for word, count in run.counts.most_common():
        print(f"{count:8}  {word}")
    print(f"{sum(run.counts.values()):8}  in {time.monotonic() - started:.0f} s;", end=" ")
    print(f"slowest {run.slowest[0]:.2f} s (mutation {run.slowest[1]});", end=" ")
    print(f"peak {run.peak_mb:.0f} MB; {len(run.findings)} findings")
    print("\n".join(run.findings))
    return 1 if run.findings or sum(run.counts.values()) != args.mutations else 0


def _repeat_one(number: int, seed: int, accelerator: Accelerator) -> int:
    name, data = mutated(number, seed, originals(accelerator))
    path = Path(tempfile.mkdtemp(prefix="overstory-")) / f"mutation-{seed}-{number}-{name}"
    path.write_bytes(data)
    word = outcome(path, number, accelerator)
    print(path, word)
    return int(word.startswith(("CRASH", "DIFFERS")))


if __name__ == "__main__":
    sys.exit(main())
