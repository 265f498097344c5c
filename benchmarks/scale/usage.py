"""CPU and memory of processes by kind, looked at once a second."""

from __future__ import annotations

import contextlib
import threading
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import psutil

LOOK_SECONDS = 1.0


class Usage:
    """``roots``: kind -> pids whose children count too. CPU of a process that ended is kept as it
    was last seen."""

    def __init__(self) -> None:
        self.roots: dict[str, list[int]] = defaultdict(list)
        self._cpu: dict[tuple[str, int, float], float] = {}
        self._most: dict[str, int] = defaultdict(int)
        self._most_of_all: dict[str, int] = defaultdict(int)
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            self.look()

    def look(self) -> None:
        with self._lock:
            for kind, pids in list(self.roots.items()):
                sizes = [self._read(kind, process) for process in _with_children(pids)]
                self._most[kind] = max(self._most[kind], *sizes, 0)
                self._most_of_all[kind] = max(self._most_of_all[kind], sum(sizes))

    def _read(self, kind: str, process: psutil.Process) -> int:
        """Its own memory in bytes: without what it shares (PostgreSQL's buffers, a fork's code)."""
        with contextlib.suppress(psutil.Error, OSError):
            times = process.cpu_times()
            self._cpu[kind, process.pid, process.create_time()] = times.user + times.system
            return own_memory(process.pid)
        return 0

    def cpu(self) -> dict[str, float]:
        """Seconds by kind."""
        self.look()
        total: dict[str, float] = defaultdict(float)
        for (kind, *_), seconds in self._cpu.items():
            total[kind] += seconds
        return dict(total)

    def memory(self) -> dict[str, dict[str, float]]:
        """The most MB of one process of each kind, and of all of a kind together."""
        return {
            kind: {"process": self._most[kind] / 1e6, "together": self._most_of_all[kind] / 1e6}
            for kind in self._most
        }


def own_memory(pid: int) -> int:
    """Anonymous resident bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024
    return 0


def _with_children(pids: list[int]) -> Iterator[psutil.Process]:
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            yield process
            yield from process.children(recursive=True)
