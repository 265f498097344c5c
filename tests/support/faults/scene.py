"""The setup of a row: endpoint, broker, database, fleet and jobs, and the checks at its end."""

from __future__ import annotations

import contextlib
import random
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.catalog.tiers import AccountLimits
from core.errors import ServiceAway
from core.jobs import JobSpec
from core.settings import Settings, load
from models.reads import pipeline
from overstory.sandbox.process import SandboxProcess
from tasks import submit as submitting
from tasks.runtime.services import Services
from tests.support.faults import judge
from tests.support.faults.crash_points import Fault, Weather, environment, happened
from tests.support.faults.fleet import Child, Fleet
from tests.support.faults.judge import Figures
from tests.support.faults.photos import make_photos
from tests.support.faults.servers import (
    Broker,
    SentinelBroker,
    SqliteStore,
    Store,
    Stores,
    migrate,
    until,
)
from workers.app import make_app
from workers.services import build_services

ASK = "What is in these pictures?"
KEY = "gauntlet-key-0123456789"
TICK_SECONDS = 0.1
LEASE_SECONDS = 5.0
CALM = Weather()
LIMITS = AccountLimits(16, 60_000, 1_000_000_000)


@dataclass(frozen=True)
class Plan:
    """The configuration of a row. Small requests make many nodes from few images."""

    postgres: bool = False
    limits: AccountLimits = LIMITS
    images_per_request: int = 4
    lease_seconds: float = LEASE_SECONDS
    infer_processes: int = 2
    reconcilers: int = 1
    latency_seconds: float = 0.3
    sandbox: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    faults: Sequence[Fault] = ()
    weather: Weather = CALM
    sentinels: bool = False  # the broker has a replica and sentinels


@dataclass(frozen=True)
class Bench:
    """Shared by all rows: a folder, the databases, a seed, and whether to run the short form."""

    folder: Path
    postgres: Stores
    seed: int
    short: bool

    def scaled(self, full: int, short: int) -> int:
        return short if self.short else full


@dataclass
class Scene:
    """One running row."""

    bench: Bench
    plan: Plan
    figures: Figures
    folder: Path
    settings: Settings
    endpoint: SandboxProcess
    broker: Broker
    store: Store
    fleet: Fleet
    services: Services
    random: random.Random
    jobs: list[str] = field(default_factory=list)
    faults_at: list[float] = field(default_factory=list)

    # ---- jobs

    def submit(self, images: int, purple: Sequence[int] = (), **spec: Any) -> str:
        """Submit a job over ``images`` new pictures; returns its id."""
        photos = make_photos(self.folder / f"photos-{len(self.jobs)}", images, purple)
        return self.submit_folder(photos, **spec)

    def submit_folder(self, photos: Path, **spec: Any) -> str:
        submitted = submitting.submit(
            self.services, JobSpec(**{"images": [str(photos)], "ask": ASK, **spec})
        )
        if submitted.created:
            self.jobs.append(submitted.job_id)
        return submitted.job_id

    def status(self, job: str) -> str:
        with self.services.database.read() as connection:
            return str(pipeline.job_status(connection, job))

    def ended(self) -> bool:
        """Whether every job has ended. Also checks the coverage of each."""
        with contextlib.suppress(ServiceAway):
            for job in self.jobs:
                complete = judge.coverage_holds(self.services.database, job)
                self.figures.expect(complete, f"I1: {job} had lost an image at a tick")
            with self.services.database.read() as connection:
                return all(_has_ended(pipeline.job_status(connection, job)) for job in self.jobs)
        return False

    def finish(self, seconds: float) -> None:
        """Wait for the jobs to end; if they do not, record their rows by status."""
        try:
            until(self.ended, seconds, "the jobs end")
        except TimeoutError:
            self.figures.broken.append(
                f"hung after {seconds:.0f} s: {judge.standing(self.services.database)}"
            )

    def done(self, table: str = "nodes", status: str = "done") -> int:
        """Rows of ``table`` in ``status``; 0 while the database does not answer."""
        with contextlib.suppress(ServiceAway):
            return judge.count(self.services.database, table, f"status = '{status}'")
        return 0

    def until_calls(self, count: int, seconds: float = 60.0) -> None:
        """Wait until the endpoint holds ``count`` calls at once."""
        until(lambda: self.in_flight() >= count or self.ended(), seconds, f"{count} in flight")

    def until_done(self, nodes: int, seconds: float = 60.0) -> None:
        until(lambda: self.done() >= nodes or self.ended(), seconds, f"{nodes} nodes done")

    def until_step(self, seconds: float = 5.0) -> None:
        """Wait for the next recorded event, so that a fault hits a working process, not a start."""
        before = judge.count(self.services.database, "events")
        with contextlib.suppress(TimeoutError):
            until(
                lambda: judge.count(self.services.database, "events") > before or self.ended(),
                seconds,
                "something is recorded",
            )

    def in_flight(self) -> int:
        return int(self.endpoint.stats()["in_flight"])

    # ---- faults

    def fault(self) -> None:
        """Record that a fault happens now; recovery is measured from here."""
        self.faults_at.append(time.time())

    def kill(self, child: Child) -> None:
        """Freeze the process, count the calls it holds, and SIGKILL it."""
        if not child.alive:
            return
        child.signal(signal.SIGSTOP)
        self.figures.allowed += self.held(child)
        self.fault()
        child.signal(signal.SIGKILL)
        self.figures.kills += 1

    def held(self, child: Child) -> int:
        with contextlib.suppress(ServiceAway):
            return judge.started_by(self.services.database, child.pid)
        return 0

    def kill_all(self) -> None:
        for child in self.fleet.children:
            self.kill(child)

    def pace(self, seconds: float) -> bool:
        """Wait ``seconds`` between faults. Returns True early if all jobs have ended."""
        with contextlib.suppress(TimeoutError):
            until(self.ended, seconds, "the jobs end")
            return True
        return False

    # ---- the verdict

    def judge(self, limit_factor: int = 1) -> None:
        """Check the five invariants after all calls in flight have ended. ``limit_factor``: 2 if
        the limiter's database was wiped, which may let the calls of one more window through."""
        figures, database = self.figures, self.services.database
        figures.images = judge.count(database, "images")
        figures.nodes = judge.count(database, "nodes", "status = 'done'")
        self._rest()
        sums = judge.paid(self.endpoint.ledger())
        figures.calls, figures.extra = sums.calls, sums.repeated
        figures.expect(
            sums.repeated <= figures.allowed,
            f"I3: {sums.repeated} paid twice, {figures.allowed} were in flight at the kills",
        )
        judge.check_rows(database, self.jobs, figures)
        self._check_limits(limit_factor)
        spooled = list((self.settings.home / "spool").glob("*"))
        figures.expect(not spooled, f"I5: {len(spooled)} replies left in the spool")
        figures.recovery = judge.worst_recovery(database, self.faults_at)
        struck = happened(self.folder / "flags")
        if self.plan.faults:
            figures.notes["struck"] = struck
        if isinstance(self.store, SqliteStore):
            figures.expect(self.store.intact(), "the SQLite file fails its integrity check")

    def _rest(self) -> None:
        """Wait until the leases of killed workers expire and late replies are recorded."""
        lease = self.plan.lease_seconds
        limiter = self.services.limiter
        quiet = {
            "endpoint": lambda: self.in_flight() == 0,
            "limiter": lambda: limiter.state().in_flight == 0,
            "calls": lambda: self.done("calls", "started") == 0,
        }
        for name, holds in quiet.items():
            try:
                until(holds, 2 * lease + 5.0, name)
            except (TimeoutError, ServiceAway) as error:
                self.figures.broken.append(f"I5: {name} still busy: {error}")

    def _check_limits(self, factor: int) -> None:
        seen, limits, figures = self.endpoint.stats(), self.plan.limits, self.figures
        figures.notes["max_in_flight"] = seen["max_in_flight"]
        for name, limit in (
            ("max_in_flight", limits.concurrency),
            ("max_requests_window", limits.rpm),
            ("max_tokens_window", limits.tpm),
        ):
            most = limit * factor
            figures.expect(seen[name] <= most, f"I4: {name} was {seen[name]}, above {most}")


@contextmanager
def scene(bench: Bench, plan: Plan, row: str, title: str) -> Iterator[Scene]:
    """Start all parts of a row and yield the scene; stop every process by pid at the end."""
    folder = bench.folder / f"row-{row}"
    folder.mkdir()
    with contextlib.ExitStack() as stack:
        figures = Figures(row, title)
        broker = (SentinelBroker if plan.sentinels else Broker)(folder / "broker")
        broker.start()
        stack.callback(broker.kill)
        endpoint = stack.enter_context(_endpoint(plan, folder))
        store = bench.postgres.store() if plan.postgres else SqliteStore(folder / "overstory.db")
        stack.callback(store.close)
        settings = _settings(plan, folder, endpoint, broker, store)
        migrate(store)
        services = build_services(settings, make_app(settings))
        stack.callback(services.close)
        faults = environment(plan.faults, plan.weather, folder / "flags")
        fleet = Fleet(settings, folder, faults, plan.infer_processes, plan.reconcilers)
        stack.callback(fleet.stop)
        fleet.start()
        yield Scene(
            bench, plan, figures, folder, settings, endpoint, broker, store, fleet, services,
            random.Random(f"{bench.seed}/{row}"),
        )  # fmt: skip


def _endpoint(plan: Plan, folder: Path) -> SandboxProcess:
    limits = plan.limits
    config: dict[str, Any] = {
        "concurrency": limits.concurrency,
        "rpm": limits.rpm,
        "tpm": limits.tpm,
        "latency_seconds": plan.latency_seconds,
        "latency_jitter_seconds": plan.latency_seconds / 3,
        **plan.sandbox,
    }
    return SandboxProcess(ledger=folder / "ledger.jsonl", **config)


def _settings(
    plan: Plan, folder: Path, endpoint: SandboxProcess, broker: Broker, store: Store
) -> Settings:
    home = folder / "home"
    home.mkdir()
    chosen: dict[str, Any] = {
        "api_key": KEY,
        "base_url": endpoint.base_url,
        "endpoint_name": "gauntlet",
        "broker_url": broker.url,
        "database_url": store.url,
        "home": home,
        "concurrency": plan.limits.concurrency,
        "rpm": plan.limits.rpm,
        "tpm": plan.limits.tpm,
        "images_per_request": plan.images_per_request,
        "context_tokens": 8192,
        "lease_seconds": plan.lease_seconds,
        "slot_seconds": plan.lease_seconds,
        "read_timeout_seconds": 30.0,
        "soft_shutdown_seconds": 10.0,
        "upload_threads": 4,
        "cpu_workers": 2,
        **plan.settings,
    }
    return load(**chosen)


def _has_ended(status: Any) -> bool:
    return status is not None and status.ended
