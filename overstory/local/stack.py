"""The embedded stack: a Valkey, the workers and, without a key, the sandbox, as real processes.

Runs with the same home share one broker and one sandbox (``servers.shared``); each run has its own
workers. A killed run leaves the shared parts for the next run, and its workers stop when
they see that their parent has ended.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

from core.errors import ServiceAway
from core.settings import SANDBOX, Settings
from core.stages import PREPROCESS
from overstory.local.forks import ForkServer
from overstory.local.home import prepare_home
from overstory.local.servers import processes
from overstory.local.servers.shared import SharedParts
from overstory.local.workers import Launcher, Worker, end_group, planned_workers
from workers.endpoints import read_stack
from workers.services import account_of

STILLBORN_SECONDS, STILLBORN_MAX = 10.0, 3
"""A worker that dies this soon, this many times in a row, cannot start on this machine."""


@dataclass(slots=True)
class LocalStack:
    """The stack of one run: ``start`` it, then ``start_workers``; ``stop`` it at the end."""

    settings: Settings
    name: str = field(default_factory=lambda: secrets.token_hex(3))
    fork_server: ForkServer | None = None
    workers: list[Worker] = field(default_factory=list)
    shared: SharedParts = field(init=False)
    _starting: Future[Settings] | None = None

    def __post_init__(self) -> None:
        self.shared = SharedParts(self.settings.home)

    @property
    def launcher(self) -> Launcher:
        return Launcher(self.settings, self.name, self.fork_server)

    def begin(self) -> None:
        """Start the shared parts and the workers that prepare images in a thread, while the command
        plans; ``start`` waits for it. These workers cost no money, whatever they find due."""
        executor = ThreadPoolExecutor(1, "start")
        self._starting = executor.submit(self._begin)
        executor.shutdown(wait=False)

    def _begin(self) -> Settings:
        settings = self._start()
        self._start_workers_of(lambda worker: worker.queues == PREPROCESS.name)
        return settings

    def start(self) -> Settings:
        """Start or join the shared parts; returns the settings that point at them.

        Raises ServiceAway with the part that did not start and the path of its log.
        """
        return self._start() if self._starting is None else self._starting.result()

    def _start(self) -> Settings:
        prepare_home(self.settings.home)
        stack = self.shared.join(self.settings)
        if stack.sandbox_url is not None and self.settings.uses_sandbox:
            self.settings = self.settings.model_copy(
                update={"base_url": stack.sandbox_url, "endpoint_name": SANDBOX}
            )
        return self.settings

    def start_workers(self) -> None:
        """Start this run's workers, as far as they do not run yet. If a service (``overstory up``)
        works for the same account, none are started: its workers do the work."""
        self._start_workers_of(lambda worker: True)

    def _start_workers_of(self, wanted: Callable[[Worker], bool]) -> None:
        if self._is_served():
            return
        self.workers = self.workers or planned_workers(self.settings)
        for number, worker in enumerate(self.workers):
            if worker.process is None and wanted(worker):
                self.launcher.start(worker, number)

    def worker_names(self) -> list[str]:
        """Names of the workers, as in their logs and before the @ of their Celery names."""
        return [self.launcher.name(worker, number) for number, worker in enumerate(self.workers)]

    def dead_workers(self) -> list[Worker]:
        return [w for w in self.workers if w.process is not None and w.process.poll() is not None]

    def revive(self) -> int:
        """Start dead workers and shared parts again; returns how many workers were dead. A run
        whose service has ended continues with its own workers."""
        if not self.workers:
            self.start_workers()
        dead = self.dead_workers()
        self.shared.revive(self.settings)
        for worker in dead:
            number = self.workers.index(worker)
            died_soon = time.monotonic() - worker.started_at < STILLBORN_SECONDS
            worker.stillborn = worker.stillborn + 1 if died_soon else 0
            if worker.stillborn >= STILLBORN_MAX:
                log = self.launcher.log_file(worker, number)
                raise ServiceAway(f"a worker keeps dying as it starts: see {log}")
            self.launcher.start(worker, number)
        return len(dead)

    def end_workers(self, queues: str) -> None:
        """Kill the workers of ``queues``. A claim made at this moment is free again when its lease
        runs out."""
        for worker in [w for w in self.workers if w.queues == queues]:
            self.workers.remove(worker)
            if worker.process is not None:
                end_group(worker.process)

    def stop_workers(self, grace_seconds: float) -> None:
        """Ask the workers to finish what they do; kill what is left after ``grace_seconds``."""
        running = [w.process for w in self.workers if w.process is not None]
        for process in running:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + grace_seconds
        for process in running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(deadline - time.monotonic(), 0.0))
        for process in running:
            end_group(process)
        self.workers = []

    def stop(self) -> None:
        """Leave the stack; the last run to leave stops the shared parts. Safe to call twice."""
        if self._starting is not None:
            if not self._starting.done():  # nothing needs what is still starting
                self.shared.kill_launched()
            wait([self._starting])
        self.stop_workers(0.0)  # those that prepared images for a job that was not begun
        if self.fork_server is not None:
            self.fork_server.dismiss()
        self.shared.leave()

    def become_service(self, flower_url: str | None, api_url: str | None) -> None:
        """Record that this process serves the stack."""
        self.shared.rewrite(
            service_pid=os.getpid(),
            service_born=processes.born(os.getpid()),
            service_account=account_of(self.settings),
            flower_url=flower_url,
            api_url=api_url,
        )

    def resign_service(self) -> None:
        self.shared.rewrite(
            service_pid=None,
            service_born=None,
            service_account=None,
            flower_url=None,
            api_url=None,
        )

    def _is_served(self) -> bool:
        pid = served_by(self.settings.home)
        if pid is None or pid == os.getpid():
            return False
        stack = read_stack(self.settings.home)
        return stack is not None and stack.service_account == account_of(self.settings)


def served_by(home: Path) -> int | None:
    """The process id of the service that is up for ``home``, or None."""
    stack = read_stack(home)
    if stack is None or not is_service(stack.service_pid, stack.service_born):
        return None
    return stack.service_pid


def is_service(pid: int | None, born: int | None = None) -> bool:
    """Whether ``pid`` is the supervisor of a service of this user. ``born``: when it started."""
    return processes.lives(pid, "overstory up", since=born)
