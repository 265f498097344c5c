"""The processes that a row kills: workers and reconcilers, restarted like under a supervisor."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from core.settings import Settings
from overstory.local.workers import planned_workers, worker_environment
from tests.support.faults.crash_points import NUMBER

LOOK_SECONDS = 0.1
STOP_SECONDS = 15.0


@dataclass(slots=True)
class Child:
    """One process of the fleet. Its pid is also the id of its process group."""

    name: str
    argv: list[str]
    environment: Mapping[str, str]
    log: Path
    wanted: bool = True
    starts: int = 0
    process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self.process is not None, "the fleet was started"
        return self.process.pid

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        self.starts += 1
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.argv,
                env=os.environ | self.environment,
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def signal(self, number: int) -> None:
        if self.alive:
            self.process.send_signal(number)  # type: ignore[union-attr]

    def forked(self) -> list[int]:
        """Pids of its pool processes."""
        path = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        with contextlib.suppress(OSError):
            return [int(word) for word in path.read_text().split()]
        return []

    def end(self) -> None:
        """Kill the remaining processes of its group."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@dataclass
class Fleet:
    """Workers as overstory.local.workers plans them, and reconcilers; dead ones are restarted.

    ``host``: the part behind @ of the workers' names. ``before``: words before each command, which
    must leave the process its id.
    """

    settings: Settings
    folder: Path
    faults: Mapping[str, str]
    infer_processes: int = 1
    reconcilers: int = 1
    host: str = "gauntlet"
    before: Sequence[str] = ()
    children: list[Child] = field(default_factory=list)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _supervisor: threading.Thread | None = None

    def start(self) -> None:
        self.children = [*self._workers(), *self._reconcilers()]
        for number, child in enumerate(self.children):
            child.environment = {**child.environment, NUMBER: str(number)}
            child.start()
        self._supervisor = threading.Thread(target=self._supervise, name="supervisor")
        self._supervisor.start()

    def stop(self) -> None:
        """Send SIGTERM to all, then kill what is left."""
        self._stopping.set()
        if self._supervisor is not None:
            self._supervisor.join()
        for child in self.children:
            child.signal(signal.SIGCONT)
            child.signal(signal.SIGTERM)
        for child in self.children:
            with contextlib.suppress(subprocess.TimeoutExpired):
                if child.process is not None:
                    child.process.wait(STOP_SECONDS)
            child.end()

    def named(self, prefix: str) -> list[Child]:
        return [child for child in self.children if child.name.startswith(prefix)]

    @property
    def deaths(self) -> int:
        """How many times a process had to be restarted."""
        return sum(max(0, child.starts - 1) for child in self.children)

    def _supervise(self) -> None:
        while not self._stopping.wait(LOOK_SECONDS):
            for child in self.children:
                if child.wanted and not child.alive:
                    child.end()  # like a supervisor's control group, which also ends the orphans
                    child.start()

    def _workers(self) -> list[Child]:
        plan = planned_workers(self.settings)
        calls = [worker for worker in plan if worker.queues.startswith("infer")][:1]
        others = [worker for worker in plan if worker not in calls and worker.queues[:5] != "infer"]
        children = []
        for number, worker in enumerate(others + calls * self.infer_processes):
            name = f"{worker.queues.split(',')[0]}-{number}"
            words = [sys.executable, "-m", "celery", "-A", "tests.support.faults.app", "worker"]
            words += ["-Q", worker.queues, "-P", worker.pool, "-c", str(worker.concurrency)]
            words += ["-n", f"{name}@{self.host}", "--without-gossip", "--without-mingle"]
            words += ["-l", "INFO"]
            children.append(self._child(name, words))
        return children

    def _reconcilers(self) -> list[Child]:
        words = [sys.executable, "-m", "tests.support.faults.reconcile"]
        return [self._child(f"reconciler-{n}", words) for n in range(self.reconcilers)]

    def _child(self, name: str, argv: list[str]) -> Child:
        environment = {**self.faults, **service_environment(self.settings)}
        return Child(name, [*self.before, *argv], environment, self.folder / f"{name}.log")


def service_environment(settings: Settings) -> dict[str, str]:
    """The settings as environment variables, like in a service's unit file."""
    variables = {
        f"OVERSTORY_{name.upper()}": str(value)
        for name, value in settings.model_dump(exclude_unset=True, exclude={"api_key"}).items()
        if value is not None
    }
    assert settings.api_key is not None, "a gauntlet's account has a key"
    variables["OVERSTORY_API_KEY"] = settings.api_key.get_secret_value()
    return {**worker_environment(settings), **variables}
