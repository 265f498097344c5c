"""CPU and peak memory of our processes by part, and the CPU that others used meanwhile.

Command lines identify the parts. A sampler reads /proc once a second. Processes that end between
two samples are in the kernel's own sum for the command and its waited-for children (``wait4``).
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
"""Word in a process's name or command line -> its part. All other processes are the command."""


@dataclass(slots=True)
class Part:
    """Processes of one kind: count, total CPU seconds, peak bytes of the largest."""

    processes: int = 0
    cpu: float = 0.0
    peak_bytes: int = 0


@dataclass(slots=True)
class Watched:
    """The last sample of one process."""

    part: str
    cpu: float = 0.0
    peak_bytes: int = 0


class Sampler(threading.Thread):
    """Samples a process and all its descendants until ``stop``."""

    def __init__(self, pid: int) -> None:
        super().__init__(name="sampler", daemon=True)
        self._root = psutil.Process(pid)
        self._seen: dict[tuple[int, float], Watched] = {}
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.is_set():
            self._sample()
            self._ended.wait(SAMPLE_SECONDS)

    def stop(self) -> dict[str, Part]:
        """Stop sampling and return the totals of each part."""
        self._ended.set()
        self.join()
        parts: dict[str, Part] = defaultdict(Part)
        for watched in self._seen.values():
            part = parts[watched.part]
            part.processes += 1
            part.cpu += watched.cpu
            part.peak_bytes = max(part.peak_bytes, watched.peak_bytes)
        return dict(parts)

    def _sample(self) -> None:
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
    """Peak memory of a process (VmHWM), shared pages included."""
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
    """Wall seconds, CPU seconds of the entire machine in that time, and its load at the end."""

    wall: float = 0.0
    busy: float = 0.0
    load: float = 0.0


@contextlib.contextmanager
def machine() -> Iterator[Machine]:
    """Measure the machine while the block runs."""
    seen = Machine()
    begun, busy = time.monotonic(), _busy()
    yield seen
    seen.wall, seen.busy = time.monotonic() - begun, _busy() - busy
    seen.load = os.getloadavg()[0]


def _busy() -> float:
    """Non-idle CPU seconds since boot, from /proc/stat."""
    values = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    idle = values[3] + values[4]
    return (sum(values) - idle) / TICKS


@dataclass(slots=True)
class Ended:
    """A finished command: seconds from start to exit, CPU of it and all children it waited for."""

    wall: float = 0.0
    cpu: float = 0.0
    status: int = 0
    started_at: float = 0.0
    ended_at: float = 0.0
    parts: dict[str, Part] = field(default_factory=dict)


def watched(argv: list[str], environment: dict[str, str], out: Path, seconds: float) -> Ended:
    """Run a command under the sampler; its stdout and stderr go to files at ``out``.

    Raises TimeoutError, after terminating it, when it does not end within ``seconds``.
    """
    with out.with_suffix(".out").open("wb") as stdout, out.with_suffix(".err").open("wb") as errors:
        ended = Ended(started_at=time.time())
        begun = time.monotonic()
        process = subprocess.Popen(
            argv, env=environment, stdin=subprocess.DEVNULL, stdout=stdout, stderr=errors
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
        raise TimeoutError(f"{' '.join(argv[:3])} ... did not end within {seconds:.0f} s")
    return ended
