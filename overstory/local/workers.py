"""The workers of one machine: which ones, and what each is told."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass

from core.settings import Settings
from overstory.local.forks import Process


@dataclass(slots=True)
class Worker:
    """One Celery worker: what it consumes and how."""

    queues: str
    pool: str
    concurrency: int
    process: Process | None = None
    started_at: float = 0.0
    stillborn: int = 0  # deaths in a row soon after a start


def planned_workers(settings: Settings) -> list[Worker]:
    """Which workers a machine of its own runs: CPU work in processes, calls in threads."""
    cores = settings.cpu_workers or os.cpu_count() or 1
    concurrency = settings.limits.concurrency
    processes = settings.infer_processes or min(-(-concurrency // settings.infer_threads), 4)
    return [
        Worker("preprocess", "prefork", cores),
        Worker("upload,submit,celery", "threads", settings.upload_threads),
        *(Worker("infer,aggregate", "threads", settings.infer_threads) for _ in range(processes)),
    ]


def worker_environment(settings: Settings) -> Mapping[str, str]:
    """What a worker must be told beyond what it inherits."""
    told = {
        "OVERSTORY_HOME": str(settings.home),
        "OVERSTORY_BASE_URL": settings.base_url,
        "OVERSTORY_PARENT_PID": str(os.getpid()),
        # libraries start a thread a core for arithmetic we do not do
        "OMP_NUM_THREADS": "1",
    }
    if settings.endpoint_name:
        told["OVERSTORY_ENDPOINT_NAME"] = settings.endpoint_name
    return told


def end_group(process: Process) -> None:
    """Kill what a worker's process group still holds (a worker leads its own session)."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
