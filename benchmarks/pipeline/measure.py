"""What processes take: CPU and peak memory by part, and what others took of the machine meanwhile.

Parts are told apart by their command lines. A sampler looks at /proc once a second; what ended in
between is in the kernel's own sum for the command and all it waited for (``wait4``).
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

SAMPLE_SECONDS = 1.0
TICKS = os.sysconf("SC_CLK_TCK")
WORDS = {
    "valkey": "broker",
    "preprocess": "preprocess",
    "upload": "upload",
    "infer": "infer",
    "workers.forkserver": "fork server",
}
"""A word of a process's name or command line, and its part. Whatever has none is the command."""


@dataclass(slots=True)
class Part:
    """Processes of one kind: how many, their CPU seconds together, the largest one's peak bytes."""

    processes: int = 0
    cpu: float = 0.0
    peak_bytes: int = 0


@dataclass(slots=True)
class Watched:
    """One process as it was last seen."""

    part: str
    cpu: float = 0.0
    peak_bytes: int = 0


class Sampler(threading.Thread):
    """Watches a process and everything below it until ``stop``."""

    def __init__(self, pid: int) -> None:
        super().__init__(name="sampler", daemon=True)
        self._root = psutil.Process(pid)
        self._seen: dict[tuple[int, float], Watched] = {}
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.is_set():
            self._look()
            self._ended.wait(SAMPLE_SECONDS)

    def stop(self) -> dict[str, Part]:
        """What each part came to."""
        self._ended.set()
        self.join()
        parts: dict[str, Part] = defaultdict(Part)
        for watched in self._seen.values():
            part = parts[watched.part]
            part.processes += 1
            part.cpu += watched.cpu
            part.peak_bytes = max(part.peak_bytes, watched.peak_bytes)
        return dict(parts)

    def _look(self) -> None:
        with contextlib.suppress(psutil.Error):
            for process in [self._root, *self._root.children(recursive=True)]:
                with contextlib.suppress(psutil.Error, OSError):
                    self._note(process)

    def _note(self, process: psutil.Process) -> None:
        key = (process.pid, process.create_time())
        watched = self._seen.get(key)
        if watched is None:
            watched = self._seen[key] = Watched("")
        watched.part = _part(process)
        times = process.cpu_times()
        watched.cpu = times.user + times.system
        watched.peak_bytes = max(watched.peak_bytes, peak_bytes(process.pid))


def _part(process: psutil.Process) -> str:
    words = [Path(f"/proc/{process.pid}/comm").read_text(), *process.cmdline()[:3]]
    line = " ".join(words)
    return next((part for word, part in WORDS.items() if word in line), "command")


def peak_bytes(pid: int) -> int:
    """The most memory a process has held (VmHWM), shared pages included."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def cpu_of(pid: int) -> float:
    """CPU seconds of one process so far."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


@dataclass(slots=True)
class Machine:
    """Seconds of the clock, CPU seconds of the whole machine in them, and its load after them."""

    wall: float = 0.0
    busy: float = 0.0
    load: float = 0.0


@contextlib.contextmanager
def machine() -> Iterator[Machine]:
    """What the machine did inside the block."""
    seen = Machine()
    begun, busy = time.monotonic(), _busy()
    yield seen
    seen.wall, seen.busy = time.monotonic() - begun, _busy() - busy
    seen.load = os.getloadavg()[0]


def _busy() -> float:
    """CPU seconds since boot that were not idle, from /proc/stat."""
    values = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    idle = values[3] + values[4]
    return (sum(values) - idle) / TICKS


@dataclass(slots=True)
class Ended:
    """How a command went: seconds from its start to its exit, CPU of it and all it waited for."""

    wall: float = 0.0
    cpu: float = 0.0
    status: int = 0
    started_at: float = 0.0
    ended_at: float = 0.0
    parts: dict[str, Part] = field(default_factory=dict)


def watched(words: list[str], environment: dict[str, str], out: Path, seconds: float) -> Ended:
    """Run a command to its end under the sampler; its stdout and stderr go to files at ``out``.

    Raises TimeoutError when it is not done in time; it has been ended then.
    """
    with out.with_suffix(".out").open("wb") as stdout, out.with_suffix(".err").open("wb") as errors:
        ended = Ended(started_at=time.time())
        begun = time.monotonic()
        process = subprocess.Popen(
            words, env=environment, stdin=subprocess.DEVNULL, stdout=stdout, stderr=errors
        )
        sampler = Sampler(process.pid)
        sampler.start()
        watchdog = threading.Timer(seconds, process.terminate)
        watchdog.start()
        _, status, usage = os.wait4(process.pid, 0)
        ended.wall, ended.ended_at = time.monotonic() - begun, time.time()
        late = not watchdog.is_alive()
        watchdog.cancel()
        process.returncode = ended.status = os.waitstatus_to_exitcode(status)
    ended.parts = sampler.stop()
    sampled = sum(part.cpu for part in ended.parts.values())
    ended.cpu = max(usage.ru_utime + usage.ru_stime, sampled)
    if late:
        raise TimeoutError(f"{' '.join(words[:3])} ... was not done after {seconds:.0f} s")
    return ended
