"""The workers of one machine: which ones there are, and how one is started."""

from __future__ import annotations

import contextlib
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from clients import private_files
from core.settings import Settings
from core.stages import PREPROCESS, UPLOAD, WORKERS
from overstory.local.forks import ForkServer, Process

SERVICE = "service"
"""The stack name of ``overstory up``; a run has a random one."""


@dataclass(slots=True)
class Worker:
    """One Celery worker: its queues and its pool."""

    queues: str
    pool: str
    concurrency: int
    process: Process | None = None
    started_at: float = 0.0
    stillborn: int = 0  # deaths in a row soon after a start


def planned_workers(settings: Settings) -> list[Worker]:
    """The workers that a machine runs: CPU work in processes, calls in threads."""
    cores = settings.cpu_workers or os.cpu_count() or 1
    needed = -(-settings.limits.concurrency // settings.infer_threads)
    processes = settings.infer_processes or min(needed, 4)
    size = {PREPROCESS: (cores, 1), UPLOAD: (settings.upload_threads, 1)}
    calls = (settings.infer_threads, processes)
    workers = []
    for stages in WORKERS:
        queues = [stage.name for stage in stages]
        concurrency, copies = size.get(stages[0], calls)
        workers += [Worker(",".join(queues), stages[0].pool, concurrency) for _ in range(copies)]
    return workers


def worker_environment(settings: Settings) -> Mapping[str, str]:
    """The variables that a worker needs beyond those it inherits."""
    environment = {
        "OVERSTORY_HOME": str(settings.home),
        "OVERSTORY_BASE_URL": settings.base_url,
        "OVERSTORY_PARENT_PID": str(os.getpid()),
        # libraries start a thread per core for arithmetic that we do not use
        "OMP_NUM_THREADS": "1",
    }
    if settings.sandbox:
        environment["OVERSTORY_SANDBOX"] = "true"
    if settings.endpoint_name:
        environment["OVERSTORY_ENDPOINT_NAME"] = settings.endpoint_name
    return environment


@dataclass(frozen=True, slots=True)
class Launcher:
    """Starts the workers of a stack: as forks if there is a fork server, else as new processes."""

    settings: Settings
    stack_name: str
    fork_server: ForkServer | None

    def start(self, worker: Worker, number: int) -> None:
        worker.started_at = time.monotonic()
        worker.process = self._fork(worker, number) or self._start_alone(worker, number)

    def log_file(self, worker: Worker, number: int) -> Path:
        return self.settings.home / "logs" / f"{self.name(worker, number)}.log"

    def name(self, worker: Worker, number: int) -> str:
        return f"{worker.queues.split(',')[0]}-{self.stack_name}-{number}"

    def _fork(self, worker: Worker, number: int) -> Process | None:
        if self.fork_server is None:
            return None
        order = {
            "pool": worker.pool,
            "queues": worker.queues,
            "concurrency": worker.concurrency,
            "name": f"{self.name(worker, number)}@{platform.node()}",
            "level": self.settings.log_level,
            "log": str(self.log_file(worker, number)),
            "environment": self._environment(),
        }
        return self.fork_server.fork(order)

    def _start_alone(self, worker: Worker, number: int) -> Process:
        command = [
            *(sys.executable, "-P", "-m", "workers", "worker"),
            *("-Q", worker.queues, "-P", worker.pool, "-c", str(worker.concurrency)),
            *("-n", f"{self.name(worker, number)}@%h", "--without-gossip", "--without-mingle"),
            *("-l", self.settings.log_level),
        ]
        with private_files.log_file(self.log_file(worker, number)) as log:
            return subprocess.Popen(
                command,
                env=os.environ | self._environment(),
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _environment(self) -> Mapping[str, str]:
        """Workers of a run send no events unless the settings ask for them: events are a third of
        a message's cost, and a Flower that starts later turns them on."""
        events = self.settings.task_events
        wanted = self.stack_name == SERVICE if events is None else events
        return {**worker_environment(self.settings), "OVERSTORY_TASK_EVENTS": str(wanted)}


def end_group(process: Process) -> None:
    """Kill the rest of a worker's process group (a worker leads its own session)."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
