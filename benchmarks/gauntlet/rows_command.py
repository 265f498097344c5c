"""Rows about the command itself: killed, run twice at once, broker killed, home not writable."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from benchmarks.gauntlet.rows import ROWS, Run
from core.errors import ServiceAway
from models.engine import Database, sqlite_url
from overstory.sandbox.process import SandboxProcess
from tests.support.faults import judge
from tests.support.faults.judge import Figures
from tests.support.faults.photos import make_photos
from tests.support.faults.scene import ASK, KEY, Bench
from tests.support.faults.servers import until
from workers.endpoints import read_stack

RUN_SECONDS = 90.0
UNWRITABLE = "/proc/overstory"
"""No user can write there, not even root."""
SETTINGS = {
    "OVERSTORY_API_KEY": KEY,
    "OVERSTORY_ENDPOINT_NAME": "gauntlet",
    "OVERSTORY_CONCURRENCY": "12",
    "OVERSTORY_RPM": "60000",
    "OVERSTORY_TPM": "1000000000",
    "OVERSTORY_IMAGES_PER_REQUEST": "4",
    "OVERSTORY_CONTEXT_TOKENS": "8192",
    "OVERSTORY_LEASE_SECONDS": "5",
    "OVERSTORY_SLOT_SECONDS": "5",
    "OVERSTORY_SOFT_SHUTDOWN_SECONDS": "5",
}


@dataclass
class CommandScene:
    """The command's set of pictures, home, settings and endpoint."""

    bench: Bench
    figures: Figures
    folder: Path
    photos: Path
    endpoint: SandboxProcess
    settings: dict[str, str]
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def database(self) -> Database:
        return Database(sqlite_url(self.home / "overstory.db"))

    def start(self, **settings: str) -> subprocess.Popen[str]:
        """Start the command as from a terminal."""
        program = Path(sys.executable).with_name("overstory")
        process = subprocess.Popen(
            [str(program), "run", str(self.photos), "--ask", ASK, "--json"],
            env=os.environ | self.settings | settings,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def result(self, process: subprocess.Popen[str], status: int = 0) -> dict[str, Any]:
        """Wait for a run; returns its JSON, or {"stderr": text} if it printed none."""
        out, err = process.communicate(timeout=RUN_SECONDS)
        ended = process.returncode
        self.figures.expect(ended == status, f"exit status {ended}: {err.strip()[-300:]}")
        self.figures.expect("Traceback" not in err, f"a traceback: {err[-300:]}")
        value: dict[str, Any] = json.loads(out) if out.startswith("{") else {"stderr": err}
        return value

    def processes(self) -> list[psutil.Process]:
        """All processes of this home, the command included."""
        processes = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("OVERSTORY_HOME") == str(self.home):
                    processes.append(process)
        return processes

    def until_calls(self, count: int) -> None:
        until(lambda: self.endpoint.stats()["in_flight"] >= count, 40, f"{count} in flight")

    def calls_started(self) -> int:
        try:
            return judge.count(self.database, "calls", "status = 'started'")
        except ServiceAway:
            return 0

    def judge(self, result: dict[str, Any]) -> None:
        figures = self.figures
        sums = judge.paid(self.endpoint.ledger())
        figures.calls, figures.extra = sums.calls, sums.repeated
        figures.expect(
            sums.repeated <= figures.allowed,
            f"I3: {sums.repeated} paid twice, {figures.allowed} were in flight at the kills",
        )
        figures.images = judge.count(self.database, "images")
        figures.nodes = judge.count(self.database, "nodes", "status = 'done'")
        jobs = judge.count(self.database, "jobs")
        figures.expect(jobs == 1, f"{jobs} jobs for one command")
        judge.check_rows(self.database, [result["job"]], figures)
        left = [process.pid for process in self.processes()]
        figures.expect(not left, f"{len(left)} processes are left")

    def clean_up(self) -> None:
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        for started in self.started:
            started.communicate()


def command_row(
    number: str, title: str, images: int = 160, latency: float = 0.5
) -> Callable[[Callable[[CommandScene], None]], Run]:
    """Register a row whose body gets a ``CommandScene``."""

    def wrap(body: Callable[[CommandScene], None]) -> Run:
        def run(bench: Bench) -> Figures:
            begun = time.monotonic()
            with _command_scene(bench, Figures(number, title), images, latency) as stage:
                try:
                    body(stage)
                except (TimeoutError, subprocess.TimeoutExpired, KeyError) as error:
                    stage.figures.broken.append(f"{type(error).__name__}: {error}")
            stage.figures.seconds = time.monotonic() - begun
            return stage.figures

        ROWS[number] = run
        return run

    return wrap


@contextmanager
def _command_scene(
    bench: Bench, figures: Figures, images: int, latency: float
) -> Iterator[CommandScene]:
    folder = bench.folder / f"row-{figures.row}"
    folder.mkdir()
    photos = make_photos(folder / "photos", images)
    config = {"concurrency": 12, "rpm": 60_000, "tpm": 1_000_000_000, "latency_seconds": latency}
    with SandboxProcess(ledger=folder / "ledger.jsonl", **config) as endpoint:
        own = {"OVERSTORY_HOME": str(folder / "home"), "OVERSTORY_BASE_URL": endpoint.base_url}
        stage = CommandScene(bench, figures, folder, photos, endpoint, {**SETTINGS, **own})
        try:
            yield stage
        finally:
            stage.clean_up()


@command_row("stack", "kill -9 of the entire stack, the command included, then run it again")
def entire_stack(stage: CommandScene) -> None:
    for _ in range(stage.bench.scaled(3, 1)):
        command = stage.start()
        stage.until_calls(4)
        victims = stage.processes()
        for process in victims:
            process.suspend()
        stage.figures.allowed += stage.calls_started()
        for process in victims:
            process.kill()
        command.communicate()
        stage.figures.kills += len(victims)
    begun = time.monotonic()
    result = stage.result(stage.start())
    stage.figures.recovery = time.monotonic() - begun
    stage.judge(result)


@command_row("command", "kill -9 of the command alone, then run it again")
def command_alone(stage: CommandScene) -> None:
    command = stage.start()
    stage.until_calls(4)
    command.kill()
    command.communicate()
    stage.figures.kills += 1
    stage.figures.allowed += stage.calls_started()
    begun = time.monotonic()
    result = stage.result(stage.start())
    stage.figures.recovery = time.monotonic() - begun
    stage.judge(result)


@command_row("newkey", "kill -9 of the entire stack, then continue with another API key")
def another_key(stage: CommandScene) -> None:
    command = stage.start()
    stage.until_calls(4)
    victims = stage.processes()
    for process in victims:
        process.suspend()
    stage.figures.allowed += stage.calls_started()
    for process in victims:
        process.kill()
    command.communicate()
    stage.figures.kills += len(victims)
    stage.judge(stage.result(stage.start(OVERSTORY_API_KEY="another-key-9876543210")))


@command_row("twice", "the same command twice at the same moment", images=120)
def twice(stage: CommandScene) -> None:
    first, second = stage.start(), stage.start()
    results = [stage.result(first), stage.result(second)]
    same = results[0]["job"] == results[1]["job"]
    stage.figures.expect(same and all(r["answer"] for r in results), "the two runs are not one job")
    stage.judge(results[0])
    stage.figures.expect(stage.figures.extra == 0, "I3: two runs paid twice")


@command_row("broker", "kill -9 of the embedded broker under the command")
def embedded_broker(stage: CommandScene) -> None:
    command = stage.start()
    stage.until_calls(4)
    stack = read_stack(stage.home)
    assert stack is not None, "a run writes its stack file"
    begun = time.time()
    os.kill(stack.broker_pid, signal.SIGKILL)
    stage.figures.kills += 1
    result = stage.result(command)
    stage.figures.recovery = judge.worst_recovery(stage.database, [begun])
    stage.judge(result)


@command_row("readonly", "a home that cannot be written", images=1)
def read_only_home(stage: CommandScene) -> None:
    begun = time.monotonic()
    stderr = stage.result(stage.start(OVERSTORY_HOME=UNWRITABLE), status=1)["stderr"]
    stage.figures.notes["stderr"] = stderr.strip().splitlines()[-1][:120]
    stage.figures.expect("OVERSTORY_HOME" in stderr, f"the error does not name a fix: {stderr}")
    stage.figures.recovery = time.monotonic() - begun
