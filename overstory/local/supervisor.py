"""``overstory up``: the whole service on one machine, without Docker, kept running.

    embedded Valkey, sandbox (without a key)   shared with runs of the same home
    workers, reconciler, Flower, API           ours: restarted when they die

Every part writes OVERSTORY_HOME/logs/<part>.log. A part that dies soon after its start is started
again after 1, 2, 4 ... 30 s. If the supervisor itself is killed, its parts end by themselves. Only
broker and sandbox go on: the next ``up`` takes them over, or ``down`` ends them.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import structlog

import workers
from clients import private_files
from clients.proxies import proxy_for
from core.errors import ServiceAway, WrongUsage
from core.settings import Settings
from overstory.local.database import bring_up_to_date, check_writable
from overstory.local.forks import Process, split
from overstory.local.health import HEALTHY_SECONDS, Health, healthy_file, worker_name
from overstory.local.home import prepare_home
from overstory.local.servers.shared import end_unused
from overstory.local.stack import LocalStack
from overstory.local.workers import SERVICE, worker_environment
from workers.app import make_app
from workers.broker_health import passing_trouble
from workers.endpoints import database_url

log = structlog.get_logger()

ROUND_SECONDS = 0.5
YOUNG_SECONDS = 10.0
BACKOFF_MAX_SECONDS = 30.0
PART_STOP_SECONDS = 10.0
FLOWER_PORT = 5555
API_PORT = 8700


@dataclass(slots=True)
class Part:
    """A process that runs as long as the service does."""

    name: str
    command: list[str]
    environment: dict[str, str]
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    deaths: int = 0
    due: float = 0.0

    def start(self, log_file: Path, at: float) -> None:
        with private_files.log_file(log_file) as out:
            self.process = subprocess.Popen(
                self.command,
                env=self.environment,
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        self.started, self.due = at, 0.0

    def died(self, at: float) -> bool:
        """Whether it has died since the last check; if so, sets when it is due again."""
        if self.process is None or self.process.poll() is None:
            return False
        young = at - self.started < YOUNG_SECONDS
        self.deaths = self.deaths + 1 if young else 1
        self.due = at + min(2.0 ** (self.deaths - 1), BACKOFF_MAX_SECONDS)
        self.process = None
        return True

    def stop(self, seconds: float) -> None:
        process, self.process = self.process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@dataclass(slots=True)
class Supervisor:
    """One service. ``run`` returns when it was asked to stop and all its parts have ended."""

    settings: Settings
    flower: PortWanted | None
    api: PortWanted | None
    parts: list[Part] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)
    _finishing: bool = False

    def ask_to_stop(self, *_: object) -> None:
        """A signal handler. The first signal lets calls in flight finish, the second stops them."""
        self.stopping.set()
        if self._finishing:
            self._finishing = False
            raise KeyboardInterrupt

    def run(self) -> None:
        """Raises WrongUsage if a service is up already, ServiceAway for a part that does not start;
        the parts that had started are stopped again."""
        prepare_home(self.settings.home)
        with contextlib.ExitStack() as cleanup:
            cleanup.enter_context(only_one(self.settings.home))
            # fail before anything is started
            flower = None if self.flower is None else self.flower.free()
            api = None if self.api is None else self.api.free()
            fork_server = split(self.settings, service=True)  # before there is any connection
            if fork_server is not None:
                cleanup.callback(fork_server.dismiss)
            if (trouble := passing_trouble(self.settings)) is not None:
                log.warning("service.waits", error=str(trouble))
            proxy_for(self.settings.base_url)  # a wrong one is refused before anything is started
            bring_up_to_date(self.settings)
            check_writable(self.settings)
            stack = LocalStack(self.settings, SERVICE, fork_server)
            self.settings = stack.start()
            cleanup.callback(stack.stop)
            cleanup.callback(self._stop_rest, stack)
            stack.start_workers()
            urls = self._start_helpers(flower, api)
            stack.become_service(*urls)  # first: 'down' stops it while it waits, too
            cleanup.callback(stack.resign_service)
            self._await_health(stack, flower, api)
            if self.stopping.is_set():
                return
            private_files.write(healthy_file(self.settings.home), str(os.getpid()))
            log.info(
                "service.up", flower=urls[0], api=urls[1], database=database_url(self.settings)
            )
            self._watch(stack)
            log.info("service.stopping")

    def _await_health(self, stack: LocalStack, flower: int | None, api: int | None) -> None:
        """Wait until every part has answered once, and as long as the broker does not let them.
        Raises ServiceAway with the part that dies as it starts, or does not answer in time."""
        names = [worker_name(name) for name in stack.worker_names()]
        health = Health(make_app(self.settings), names, self.settings.home, flower, api)
        deadline = time.monotonic() + HEALTHY_SECONDS
        while (missing := health.missing()) and not self.stopping.wait(ROUND_SECONDS):
            for name, process in self._processes(stack):
                if process.poll() is not None:
                    raise ServiceAway(f"{name} ended as it started: {self._last_line(name)}")
            if time.monotonic() > deadline:
                trouble = passing_trouble(self.settings)
                if trouble is None:
                    logs = self.settings.home / "logs"
                    raise ServiceAway(f"{', '.join(missing)} did not become healthy: see {logs}")
                log.warning("service.waits", parts=missing, error=str(trouble))
                deadline = time.monotonic() + HEALTHY_SECONDS

    def _processes(self, stack: LocalStack) -> Iterator[tuple[str, Process]]:
        for name, worker in zip(stack.worker_names(), stack.workers, strict=True):
            if worker.process is not None:
                yield name, worker.process
        for part in self.parts:
            if part.process is not None:
                yield part.name, part.process

    def _last_line(self, name: str) -> str:
        """The last line of a part's log, which says why it ended."""
        path = self._log(name)
        try:
            lines = path.read_text("utf-8", "replace").strip().splitlines()
        except OSError:
            lines = []
        return lines[-1].removeprefix("overstory: ") if lines else f"see {path}"

    # ---- its parts

    def _start_helpers(self, flower: int | None, api: int | None) -> tuple[str | None, str | None]:
        """Returns the URLs of Flower and of the API."""
        environment = {**os.environ, **worker_environment(self.settings)}
        command = [sys.executable, "-P", "-m", "overstory", "reconciler"]
        self._add(Part("reconciler", command, environment))
        if flower is not None:
            configuration = Path(workers.__file__).with_name("flower.py")
            command = [sys.executable, "-P", "-m", "workers", "flower"]
            command += [f"--conf={configuration}", "--address=127.0.0.1", f"--port={flower}"]
            self._add(Part("flower", command, environment))
        if api is not None:
            command = [sys.executable, "-P", "-m", "overstory", "serve", f"--port={api}"]
            self._add(Part("api", command, environment))
        return _url(flower), _url(api)

    def _add(self, part: Part) -> None:
        self.parts.append(part)
        part.start(self._log(part.name), time.monotonic())

    def _log(self, name: str) -> Path:
        return self.settings.home / "logs" / f"{name}.log"

    # ---- watching and stopping

    def _watch(self, stack: LocalStack) -> None:
        backoff = Part("workers", [], {})  # counts early deaths of workers, like those of a part
        while not self.stopping.wait(ROUND_SECONDS):
            at = time.monotonic()
            for part in self.parts:
                self._keep(part, at)
            if at < backoff.due:
                continue
            try:
                dead = stack.revive()
            except ServiceAway as error:
                dead = 1
                log.warning("service.part", error=str(error))
            if dead:
                young = at - backoff.started < YOUNG_SECONDS
                backoff.deaths = backoff.deaths + 1 if young else 1
                backoff.started = at
                backoff.due = at + min(2.0 ** (backoff.deaths - 1), BACKOFF_MAX_SECONDS)
                log.warning("service.revived", workers=dead)

    def _keep(self, part: Part, at: float) -> None:
        if part.died(at):
            log.warning("service.died", part=part.name, again_in=round(part.due - at, 1))
        elif part.process is None and at >= part.due:
            part.start(self._log(part.name), at)

    def _stop_rest(self, stack: LocalStack) -> None:
        """Stop the workers first, so that Flower and the reconciler see what they finish."""
        try:
            self._finishing = True
            stack.stop_workers(self.settings.soft_shutdown_seconds)
            self._finishing = False
        except KeyboardInterrupt:
            stack.stop_workers(0.0)
        for part in reversed(self.parts):
            part.stop(PART_STOP_SECONDS)


def _url(port: int | None) -> str | None:
    return None if port is None else f"http://127.0.0.1:{port}"


def end_left(home: Path) -> list[str]:
    """End the parts that a killed supervisor left; returns their names.

    Raises WrongUsage if a service is starting.
    """
    with only_one(home):
        return end_unused(home) or []


@dataclass(frozen=True, slots=True)
class PortWanted:
    """The port of a part on the loopback. ``given``: a person named it, so no other will do."""

    part: str
    port: int
    given: bool = False

    def free(self) -> int:
        """The port if it is free, else another one. Raises WrongUsage if it is taken and was
        given."""
        port = _free_port(self.port)
        if port is not None:
            return port
        if self.given:
            raise WrongUsage(
                f"--{self.part}-port: {self.port} is taken: choose another, or 0 for any free port"
            )
        port = _free_port(0)
        if port is None:
            raise ServiceAway("no port is free on the loopback")
        log.warning("service.port_taken", part=self.part, wanted=self.port, instead=port)
        return port


def _free_port(port: int) -> int | None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return None
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def only_one(home: Path) -> Iterator[None]:
    """Hold the home's service lock. Raises WrongUsage if another service of this home is up."""
    with private_files.lock_file(home / "run" / "service.lock") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise WrongUsage(f"a service is up for {home}: 'overstory down' stops it") from None
        yield
