"""Runs cases in processes. One that hangs is killed, and one that dies is replaced: both are found.

Each process has a pipe of its own, so that a kill in the middle of a message harms no other one.
"""

from __future__ import annotations

import faulthandler
import logging
import multiprocessing
import random
import resource
import tempfile
import time
import traceback
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

import structlog

from benchmarks.fuzz import drill, images, pdfs, receivers, replies, schemas, submissions
from benchmarks.fuzz.kind import Cases, Kind
from clients.images.decoder import close

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        *(images.KIND, pdfs.KIND, schemas.KIND, replies.TEXT, replies.JSON, submissions.KIND),
        *(receivers.KIND, images.VIPS, drill.KIND),
    )
}
CHUNK = 250
"""Cases that a process gets at once."""
LOOK_SECONDS = 0.5
START_SECONDS = 120.0
"""For a process to start and to open a kind, on a busy machine."""


@dataclass(frozen=True)
class Chunk:
    """Seeds of one kind."""

    kind: str
    seeds: Sequence[int]


@dataclass(frozen=True)
class Result:
    """``wrong``: what was found; empty if the case ended as it may."""

    kind: str
    seed: int
    outcome: str
    wrong: str
    seconds: float
    cpu_seconds: float


def draw_of(kind: str, seed: int) -> random.Random:
    """All the chance of a case."""
    return random.Random(f"{kind}/{seed}")


def run_case(kind: Kind, cases: Cases, seed: int) -> Iterator[Result | None]:
    """None when the input is made and its time begins; then the result."""
    case = cases.make(draw_of(kind.name, seed))
    yield None
    began, cpu = time.monotonic(), time.process_time()
    outcome, wrong = "", ""
    try:
        outcome = cases.run(case)
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        text = " ".join(str(error).split())[:300]
        where = f"{Path(place.filename).name}:{place.lineno}"
        wrong = f"{type(error).__name__}: {text!a} ({where})"
    took, used = time.monotonic() - began, time.process_time() - cpu
    if not wrong and used > kind.cpu_seconds:
        wrong = f"SLOW: {used:.1f} s of CPU time"
    yield Result(kind.name, seed, outcome, wrong, took, used)


# --- a process


def work(connection: Connection, folder: str) -> None:
    """Take chunks until there are no more, and tell when each case begins and how it ended."""
    faulthandler.enable()
    logging.getLogger().addHandler(logging.NullHandler())
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    tempfile.tempdir = folder
    with ExitStack() as stack:
        opened: dict[str, Cases] = {}
        while (chunk := connection.recv()) is not None:
            kind = KINDS[chunk.kind]
            if kind.name not in opened:
                opened[kind.name] = stack.enter_context(kind.opened())
            for seed in chunk.seeds:
                for result in run_case(kind, opened[kind.name], seed):
                    connection.send(seed if result is None else result)
            connection.send("done")
    close()
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu = sum(usage.ru_utime + usage.ru_stime for usage in used)
    connection.send((cpu, max(usage.ru_maxrss for usage in used) / 1024))


@dataclass
class Worker:
    """A process and what it works on. ``seed`` is None between two cases."""

    process: SpawnProcess
    connection: Connection
    chunk: Chunk | None = None
    seed: int | None = None
    since: float = field(default_factory=time.monotonic)

    def take(self, chunk: Chunk | None) -> None:
        self.chunk = chunk
        self.seed = None
        self.since = time.monotonic()
        self.connection.send(chunk)

    @property
    def hangs(self) -> bool:
        limit = START_SECONDS
        if self.seed is not None and self.chunk is not None:
            limit = KINDS[self.chunk.kind].wall_seconds
        return time.monotonic() - self.since > limit


# --- all of them


@dataclass
class Run:
    """All processes of a run, and what came of its cases."""

    chunks: deque[Chunk]
    results: list[Result] = field(default_factory=list)
    cpu_seconds: float = 0.0
    peak_mb: float = 0.0

    def __post_init__(self) -> None:
        self._context = multiprocessing.get_context("spawn")

    def run(self, workers: int) -> None:
        with tempfile.TemporaryDirectory(prefix="overstory-fuzz-") as folder:
            running = [self._started(folder) for _ in range(min(workers, len(self.chunks)))]
            while running:
                wait([worker.connection for worker in running], LOOK_SECONDS)
                for worker in list(running):
                    if not self._looked_after(worker):
                        running.remove(worker)
                        if self.chunks:
                            running.append(self._started(folder))

    @property
    def found(self) -> list[Result]:
        return [result for result in self.results if result.wrong]

    def _started(self, folder: str) -> Worker:
        ours, theirs = self._context.Pipe()
        own = tempfile.mkdtemp(dir=folder)
        process = self._context.Process(target=work, args=(theirs, own))
        process.start()
        theirs.close()
        worker = Worker(process, ours)
        worker.take(self.chunks.popleft())
        return worker

    def _looked_after(self, worker: Worker) -> bool:
        """False if the process has ended, as it should or not."""
        try:
            while worker.connection.poll():
                if self._told(worker, worker.connection.recv()):
                    worker.process.join()
                    return False
        except (EOFError, OSError):
            worker.process.join()
            self._lost(worker, f"DIED: exit status {worker.process.exitcode}")
            return False
        if worker.hangs:
            worker.process.kill()
            worker.process.join()
            self._lost(worker, f"HANG: {time.monotonic() - worker.since:.0f} s on the clock")
            return False
        return True

    def _told(self, worker: Worker, message: object) -> bool:
        """True if it was the last message."""
        match message:
            case int(seed):
                worker.seed, worker.since = seed, time.monotonic()
            case Result():
                worker.seed, worker.since = None, time.monotonic()
                self.results.append(message)
            case "done":
                worker.take(self.chunks.popleft() if self.chunks else None)
            case (float(cpu), float(peak)):
                self.cpu_seconds += cpu
                self.peak_mb = max(self.peak_mb, peak)
                return True
        return False

    def _lost(self, worker: Worker, wrong: str) -> None:
        """Note the case that took its process along; the others of its chunk are still to do."""
        chunk, seed = worker.chunk, worker.seed
        if chunk is None:
            return
        if seed is None:
            self.results.append(Result(chunk.kind, -1, "", f"{wrong}, between two cases", 0, 0))
            return
        self.results.append(
            Result(chunk.kind, seed, "", wrong, time.monotonic() - worker.since, 0.0)
        )
        rest = [other for other in chunk.seeds if other > seed]
        if rest:
            self.chunks.appendleft(Chunk(chunk.kind, rest))


def chunks_of(counts: dict[str, int], first: int) -> deque[Chunk]:
    """So many cases of each kind from the seed ``first`` on, the kinds in turn."""
    parts = [
        deque(
            Chunk(kind, range(at, min(at + CHUNK, first + count)))
            for at in range(first, first + count, CHUNK)
        )
        for kind, count in counts.items()
    ]
    mixed: deque[Chunk] = deque()
    while parts := [part for part in parts if part]:
        mixed += [part.popleft() for part in parts]
    return mixed


def outcomes(results: Sequence[Result]) -> Counter[str]:
    return Counter(result.outcome or result.wrong.partition(":")[0] for result in results)


def one(kind: Kind, seed: int) -> tuple[object, Result]:
    """A case in this process, with its input."""
    with kind.opened() as cases:
        *_, result = run_case(kind, cases, seed)
        assert result is not None
        return cases.make(draw_of(kind.name, seed)), result
