"""The worker machines of a row, its jobs, and what is seen of them from outside."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import text

from benchmarks.machines.network import WORKERS, Network
from benchmarks.machines.servers import BLOB_URL, BROKER_URL, Servers
from core.jobs import JobSpec
from core.settings import Settings, load
from migrations import upgrade
from tasks import submit as submitting
from tasks.runtime.services import Services
from tests.support.faults import judge
from tests.support.faults.crash_points import held_by
from tests.support.faults.fleet import Fleet
from tests.support.faults.photos import make_photos
from tests.support.faults.servers import until
from workers.app import make_app
from workers.services import build_services

KEY = "machines-key-0123456789"
ASK = "What is in these pictures?"
CONCURRENCY = 9
LATENCY_SECONDS = 2.0
LEASE_SECONDS = 4.0
PER_REQUEST = 5
FAKETIME = "/usr/lib/{}/faketime/libfaketime.so.1"
ENDPOINT = {
    "concurrency": CONCURRENCY,
    "rpm": 60_000,
    "tpm": 1_000_000_000,
    "latency_seconds": LATENCY_SECONDS,
    "latency_jitter_seconds": LATENCY_SECONDS / 3,
}


@dataclass
class Lab:
    """Three machines of workers on one database."""

    network: Network
    servers: Servers
    folder: Path
    fleets: Mapping[str, Fleet]
    services: Services
    pictures: int = 0  # made so far: no two jobs show the same
    jobs: list[str] = field(default_factory=list)

    # ---- jobs

    def submit(self, images: int) -> str:
        """Submit a job over new pictures, from the harness; returns its id."""
        folder = self.folder / f"photos-{self.pictures}"
        photos = make_photos(folder, images, first=self.pictures + 1)
        self.pictures += images
        job = JobSpec(images=[str(photos)], ask=ASK)
        self.jobs.append(submitting.submit(self.services, job).job_id)
        return self.jobs[-1]

    def ended(self, jobs: Collection[str]) -> bool:
        running = "status NOT IN ('completed', 'partial', 'failed', 'cancelled') AND id IN ({})"
        names = ", ".join(f"'{job}'" for job in jobs)
        return self.count("jobs", running.format(names)) == 0

    def finish(self, jobs: Collection[str], seconds: float) -> None:
        until(lambda: self.ended(jobs), seconds, "the jobs end")

    def count(self, table: str, where: str = "1 = 1") -> int:
        return judge.count(self.services.database, table, where)

    # ---- what a machine does

    def pids(self, machine: str) -> list[int]:
        """Its processes that hold leases."""
        children = self.fleets[machine].children
        return [pid for child in children for pid in (child.pid, *child.forked())]

    def calls_of(self, machines: Sequence[str]) -> int:
        """Calls that these machines have started and not settled."""
        pids = [pid for machine in machines for pid in self.pids(machine)]
        return sum(judge.started_by(self.services.database, pid) for pid in pids)

    def tokens_of(self, machine: str, since: float) -> set[str]:
        """Leases that a machine holds, and those of its calls since then."""
        prefixes = {held_by(pid) for pid in self.pids(machine)}
        with self.services.database.read() as connection:
            rows = connection.execute(text(TOKENS), {"since": since}).scalars()
            return {token for token in rows if token[:7] in prefixes}

    def spooled(self) -> int:
        """Paid replies that wait on the machines' disks."""
        homes = [fleet.settings.home for fleet in self.fleets.values()]
        return sum(len(list((home / "spool").glob("call-*.json"))) for home in homes)

    def restarts(self) -> int:
        return sum(fleet.deaths for fleet in self.fleets.values())


TOKENS = """
SELECT lease_token FROM images WHERE lease_token IS NOT NULL
UNION SELECT lease_token FROM nodes WHERE lease_token IS NOT NULL
UNION SELECT lease_token FROM calls WHERE started_at > :since
"""


def settings_of(home: Path, database_url: str, base_url: str) -> Settings:
    """The settings of a machine: only the leases are shorter than by default."""
    home.mkdir(parents=True)
    return load(
        api_key=KEY,
        base_url=base_url,
        endpoint_name="machines",
        broker_url=BROKER_URL,
        database_url=database_url,
        blob_url=BLOB_URL,
        home=home,
        concurrency=CONCURRENCY,
        rpm=ENDPOINT["rpm"],
        tpm=ENDPOINT["tpm"],
        images_per_request=PER_REQUEST,
        context_tokens=8192,
        lease_seconds=LEASE_SECONDS,
        slot_seconds=LEASE_SECONDS,
        soft_shutdown_seconds=3.0,
        upload_threads=4,
        cpu_workers=1,
    )


@contextlib.contextmanager
def lab(
    network: Network, servers: Servers, folder: Path, clocks: Mapping[str, float]
) -> Iterator[Lab]:
    """Start the workers and reconcilers of every machine. ``clocks``: seconds that a machine's is
    ahead."""
    folder.mkdir()
    url = servers.new_database(folder.name.replace("-", "_"))
    upgrade(url)
    base = servers.endpoint.base_url
    settings = settings_of(folder / "control", url, base)
    with contextlib.ExitStack() as stack:
        services = build_services(settings, make_app(settings))
        stack.callback(services.close)
        fleets = {}
        for name in WORKERS:
            there = settings_of(folder / name, url, base)
            environment = clock_environment(clocks.get(name, 0.0))
            fleet = Fleet(there, folder / name, environment, host=name, before=network.run_on(name))
            stack.callback(fleet.stop)
            fleets[name] = fleet
        for fleet in fleets.values():
            fleet.start()
        made = Lab(network, servers, folder, fleets, services)
        until(lambda: _all_ready(fleets), 90.0, "every worker is ready")
        yield made


def _all_ready(fleets: Mapping[str, Fleet]) -> bool:
    workers = [
        child
        for fleet in fleets.values()
        for child in fleet.children
        if not child.name.startswith("reconciler")
    ]
    return all(" ready" in child.log.read_text() for child in workers)


def clock_environment(seconds: float) -> dict[str, str]:
    """Variables that set a process's wall clock; its monotonic clock stays as it is."""
    if not seconds:
        return {}
    library = faketime_library()
    assert library is not None, "the row is skipped without it"
    return {
        "LD_PRELOAD": library,
        "FAKETIME": f"{seconds:+.0f}s",
        "DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


def faketime_library() -> str | None:
    """libfaketime of the distribution; None if it is not installed."""
    path = FAKETIME.format(f"{os.uname().machine}-linux-gnu")
    return path if Path(path).exists() else None
