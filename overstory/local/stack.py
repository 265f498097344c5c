"""The embedded stack: a Valkey, the workers and, without a key, the sandbox, as real processes.

Runs with the same home share one broker and one sandbox; each brings workers of its own. Whoever
leaves last stops what is shared. A killed run leaves the shared part behind for the next run to
take over, and its workers stop by themselves when their parent is gone. What is shared is in
``run/stack.json`` before it runs, so whenever a run is killed the next one finds it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from core.errors import ServiceAway
from core.settings import SANDBOX, Settings
from overstory.local import processes
from overstory.local.forks import ForkServer, Process
from overstory.local.home import locked, prepare_home
from overstory.local.valkey import (
    START_SECONDS,
    VALKEY,
    answers,
    broker_folder,
    broker_lives,
    broker_marks,
    comes_up,
    program,
    shut_down,
    socket_path,
    unrecorded_broker,
)
from overstory.local.workers import Worker, end_group, planned_workers, worker_environment
from workers.endpoints import Stack, read_stack, stack_file, write_stack
from workers.services import account_of

SERVICE = "service"
"""The name of the stack that ``overstory up`` serves; that of a run is its own."""
STILLBORN_SECONDS, STILLBORN_MAX = 10.0, 3
"""A worker that dies so soon and so often cannot start here."""


@dataclass(slots=True)
class LocalStack:
    """The stack as one run sees it. Use as a context manager; ``settings`` then point at it."""

    settings: Settings
    name: str = field(default_factory=lambda: secrets.token_hex(3))
    fork_server: ForkServer | None = None
    workers: list[Worker] = field(default_factory=list)
    _hold: IO[str] | None = None
    _starting: Future[Settings] | None = None
    _shared: list[subprocess.Popen[bytes]] = field(default_factory=list)  # that we launched

    @property
    def run_folder(self) -> Path:
        return self.settings.home / "run"

    def begin(self) -> None:
        """Start what is shared in a thread, while the command plans; ``start`` waits for it."""
        thread = ThreadPoolExecutor(1, "start")
        self._starting = thread.submit(self._start)
        thread.shutdown(wait=False)

    def start(self) -> Settings:
        """Start or join what is shared; returns the settings that point at it.

        Raises ServiceAway saying which part did not start and where its log is.
        """
        return self._start() if self._starting is None else self._starting.result()

    def _start(self) -> Settings:
        prepare_home(self.settings.home)
        with locked(self.run_folder / "start.lock"):
            self._hold = (self.run_folder / "users.lock").open("w")
            stack = self._broker(read_stack(self.settings.home))
            if self.settings.uses_sandbox:
                stack = self._sandbox(stack)
            write_stack(self.settings.home, stack)
            fcntl.flock(self._hold, fcntl.LOCK_SH)
        if stack.sandbox_url is not None and self.settings.uses_sandbox:
            self.settings = self.settings.model_copy(
                update={"base_url": stack.sandbox_url, "endpoint_name": SANDBOX}
            )
        return self.settings

    def start_workers(self) -> None:
        """Start this run's workers; they take messages as soon as they are up. Where a service
        (``overstory up``) works for the same account, its workers do."""
        if self._is_served():
            return
        self.workers = planned_workers(self.settings)
        for number, worker in enumerate(self.workers):
            worker.process = self._spawn(worker, number)

    def dead_workers(self) -> list[Worker]:
        return [w for w in self.workers if w.process is not None and w.process.poll() is not None]

    def revive(self) -> int:
        """Start again what died, shared parts too; how many there were. A run whose service went
        away goes on with workers of its own."""
        if not self.workers:
            self.start_workers()
        dead = self.dead_workers()
        stack = read_stack(self.settings.home)
        if stack is None or not self._lives(stack):
            self._revive_shared()
        for worker in dead:
            number = self.workers.index(worker)
            soon = time.monotonic() - worker.started_at < STILLBORN_SECONDS
            worker.stillborn = worker.stillborn + 1 if soon else 0
            if worker.stillborn >= STILLBORN_MAX:
                log = self.log_file(self._name(worker, number))
                raise ServiceAway(f"a worker keeps dying as it starts: see {log}")
            worker.process = self._spawn(worker, number)
        return len(dead)

    def _revive_shared(self) -> None:
        """The same socket and port as before, so nobody needs to be told."""
        with locked(self.run_folder / "start.lock"):
            stack = self._broker(read_stack(self.settings.home))
            if self.settings.endpoint_name == SANDBOX:
                stack = self._sandbox(stack)
            write_stack(self.settings.home, stack)

    def end_workers(self, queues: str) -> None:
        """Kill the workers of ``queues``. A claim made in this very moment is free again when its
        lease runs out."""
        for worker in [w for w in self.workers if w.queues == queues]:
            self.workers.remove(worker)
            if worker.process is not None:
                end_group(worker.process)

    def stop_workers(self, grace_seconds: float) -> None:
        """Ask the workers to finish what they do, then end what is left."""
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
        """Leave the stack; the last to leave stops what is shared. Twice is harmless."""
        if self._starting is not None:
            if not self._starting.done():  # nobody wants any more what is still starting
                self._end_launched()
            wait([self._starting])
        if self.fork_server is not None:
            self.fork_server.dismiss()
        if self._hold is None:
            return
        with locked(self.run_folder / "start.lock"):
            fcntl.flock(self._hold, fcntl.LOCK_UN)
            if _nobody_else(self._hold):
                self._stop_shared()
            self._hold.close()
            self._hold = None

    def _end_launched(self) -> None:
        for process in list(self._shared):
            process.kill()
            process.wait()

    def _stop_shared(self) -> None:
        end_shared(self.settings.home)
        self._end_launched()  # as children, which are to be waited for

    # ---- the shared parts

    def become_service(self, flower_url: str | None) -> None:
        """Tell whoever looks that this process serves the stack."""
        self._rewrite(
            service_pid=os.getpid(),
            service_account=account_of(self.settings),
            flower_url=flower_url,
        )

    def resign_service(self) -> None:
        self._rewrite(service_pid=None, service_account=None, flower_url=None)

    def _rewrite(self, **changes: Any) -> None:
        with locked(self.run_folder / "start.lock"):
            stack = read_stack(self.settings.home)
            if stack is not None:
                write_stack(self.settings.home, replace(stack, **changes))

    def _is_served(self) -> bool:
        pid = served_by(self.settings.home)
        if pid is None or pid == os.getpid():
            return False
        stack = read_stack(self.settings.home)
        return stack is not None and stack.service_account == account_of(self.settings)

    def _broker(self, stack: Stack | None) -> Stack:
        stack = stack or unrecorded_broker(self.settings.home)
        if stack is not None and comes_up(self.settings.home, stack):
            return stack
        before = stack or Stack("", 0)
        folder = broker_folder(self.settings.home)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        socket = before.socket or socket_path(self.settings.home)
        config = folder / "valkey.conf"
        config.write_text(VALKEY.format(socket=socket, folder=folder), encoding="utf-8")
        log = folder / "valkey.log"

        def record(pid: int) -> None:
            write_stack(self.settings.home, replace(before, socket=socket, broker_pid=pid))

        process = self._launched([str(program()), str(config)], log, record)
        wait_for(lambda: answers(socket), process, f"the embedded Valkey did not start: see {log}")
        return replace(before, socket=socket, broker_pid=process.pid)

    def _sandbox(self, stack: Stack) -> Stack:
        if _sandbox_lives(self.settings.home, stack):
            if stack.sandbox_url is not None:
                return stack
            _end_sandbox(self.settings.home, stack)  # its run was killed before it knew where it is
        log = self.log_file("sandbox")
        words = [sys.executable, "-m", "overstory.sandbox"]
        words += ["--ledger", _sandbox_ledger(self.settings.home)]
        words += ["--port", _port(stack.sandbox_url), *_limits_of_sandbox(self.settings)]

        def record(pid: int) -> None:
            write_stack(self.settings.home, replace(stack, sandbox_pid=pid))

        process = self._launched(words, log, record, stdout=subprocess.PIPE)
        assert process.stdout is not None
        line = process.stdout.readline()
        process.stdout.close()
        if not line:
            raise ServiceAway(f"the sandbox did not start: see {log}")
        return replace(stack, sandbox_url=json.loads(line)["base_url"], sandbox_pid=process.pid)

    def _launched(
        self,
        words: list[str],
        log: Path,
        record: Callable[[int], None],
        stdout: int | None = None,
    ) -> subprocess.Popen[bytes]:
        """A shared part, out of reach of Ctrl-C: that is for the command, which stops it when it
        is due."""
        with log.open("ab") as out:
            process = processes.recorded(words, record, out if stdout is None else stdout, out)
        self._shared.append(process)
        return process

    def _lives(self, stack: Stack) -> bool:
        home = self.settings.home
        return broker_lives(home, stack) and (
            stack.sandbox_pid is None or _sandbox_lives(home, stack)
        )

    # ---- the workers

    def _spawn(self, worker: Worker, number: int) -> Process:
        worker.started_at = time.monotonic()
        return self._fork(worker, number) or self._start_alone(worker, number)

    def _fork(self, worker: Worker, number: int) -> Process | None:
        if self.fork_server is None:
            return None
        name = self._name(worker, number)
        order = {
            "pool": worker.pool,
            "queues": worker.queues,
            "concurrency": worker.concurrency,
            "name": f"{name}@{platform.node()}",
            "level": self.settings.log_level,
            "log": str(self.log_file(name)),
            "environment": self._environment(),
        }
        return self.fork_server.fork(order)

    def _start_alone(self, worker: Worker, number: int) -> Process:
        name = self._name(worker, number)
        words = [sys.executable, "-m", "celery", "-A", "workers.app", "worker"]
        words += ["-Q", worker.queues, "-P", worker.pool, "-c", str(worker.concurrency)]
        words += ["-n", f"{name}@%h", "--without-gossip", "--without-mingle"]
        words += ["-l", self.settings.log_level]
        with self.log_file(name).open("ab") as log:
            return subprocess.Popen(
                words,
                env=os.environ | self._environment(),
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _environment(self) -> Mapping[str, str]:
        """What this stack's workers are told. Nobody watches those of a run, and events are a
        third of what a message costs; a Flower that comes turns them on."""
        events = self.settings.task_events
        told = self.name == SERVICE if events is None else events
        return {**worker_environment(self.settings), "OVERSTORY_TASK_EVENTS": str(told)}

    def _name(self, worker: Worker, number: int) -> str:
        return f"{worker.queues.split(',')[0]}-{self.name}-{number}"

    def log_file(self, name: str) -> Path:
        return self.settings.home / "logs" / f"{name}.log"


def served_by(home: Path) -> int | None:
    """The process id of the service that is up for ``home``, if one is."""
    stack = read_stack(home)
    return stack.service_pid if stack is not None and is_service(stack.service_pid) else None


def is_service(pid: int | None) -> bool:
    """Whether ``pid`` is the supervisor of a service."""
    return processes.lives(pid, "overstory up")


def end_unused(home: Path) -> list[str] | None:
    """``end_shared``, where no run and no service holds it; None where one does."""
    with (
        locked(home / "run" / "start.lock"),
        (home / "run" / "users.lock").open("w") as users,
    ):
        return end_shared(home) if _nobody_else(users) else None


def end_shared(home: Path) -> list[str]:
    """End the broker and the sandbox that ``home`` has on record; the names of what there was.
    The record goes last, for who is killed over this has ended nothing that it names."""
    stack = read_stack(home)
    if stack is None:
        return []
    found = []
    if broker_lives(home, stack) or answers(stack.socket):
        found.append("Valkey")
        shut_down(stack.socket)
        processes.end(stack.broker_pid, *broker_marks(home, stack))
    if _end_sandbox(home, stack):
        found.append("the sandbox")
    stack_file(home).unlink(missing_ok=True)
    return found


def _port(url: str | None) -> str:
    """The port a sandbox had, to be had again; 0 for any."""
    return str(urlsplit(url).port or 0) if url else "0"


def _limits_of_sandbox(settings: Settings) -> list[str]:
    """The stand-in holds us to the limits we believe the account has."""
    limits = settings.limits
    words = ["--concurrency", str(limits.concurrency), "--rpm", str(limits.rpm)]
    return [*words, "--tpm", str(limits.tpm)]


def _sandbox_ledger(home: Path) -> str:
    return str((home / "logs" / "sandbox.jsonl").resolve())


def _sandbox_lives(home: Path, stack: Stack) -> bool:
    return processes.lives(stack.sandbox_pid, _sandbox_ledger(home))


def _end_sandbox(home: Path, stack: Stack) -> bool:
    return processes.end(stack.sandbox_pid, _sandbox_ledger(home))


def wait_for(ready: object, process: subprocess.Popen[bytes], sentence: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not ready():  # type: ignore[operator]
        if process.poll() is not None or time.monotonic() > deadline:
            raise ServiceAway(sentence)
        time.sleep(0.01)


def _nobody_else(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
