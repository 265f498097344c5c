"""One row: jobs, a broken link, and the verdict."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import text

from benchmarks.machines.commands import check_commands
from benchmarks.machines.lab import CONCURRENCY, LEASE_SECONDS, Lab
from benchmarks.machines.rows import Row
from tests.support.faults import judge
from tests.support.faults.judge import Figures
from tests.support.faults.servers import until

IMAGES, MORE_IMAGES, TRIAL_IMAGES = 200, 60, 20
BACK_SECONDS = 60.0
"""A machine works again within this time after its link does."""
REST_SECONDS = 30.0


@dataclass
class Result:
    """A line of the table. ``paid_twice`` and ``in_flight`` are counts of calls."""

    row: Row
    job_seconds: float = 0.0
    broken_seconds: float = 0.0
    in_flight: int = 0
    paid_twice: int = 0
    lost: int = 0
    back_seconds: float | None = None
    skipped: str = ""
    commands: list[str] = field(default_factory=list)
    figures: Figures = field(default_factory=lambda: Figures("", ""))

    @property
    def passed(self) -> bool:
        return self.figures.passed


def run_row(lab: Lab, row: Row) -> Result:
    """Run ``row`` on machines whose links are calm; they are calm again when it returns."""
    result = Result(row, figures=Figures(row.name, row.title))
    lab.servers.endpoint.reset()
    lab.jobs.clear()
    ledger_before, restarts = len(lab.servers.endpoint.ledger()), lab.restarts()
    if row.at == "commands":
        result.commands = check_commands(lab, row, result.figures)
        return result
    try:
        _run(lab, row, result)
    except TimeoutError as error:
        result.figures.broken.append(f"{error}: {judge.standing(lab.services.database)}")
    finally:
        lab.network.calm()
    _judge(lab, result, ledger_before)
    result.figures.notes["restarts"] = lab.restarts() - restarts
    return result


def _run(lab: Lab, row: Row, result: Result) -> None:
    if row.at == "start":
        lab.network.set(row.ways, row.link)
    begun = time.monotonic()
    jobs = [lab.submit(round(row.size * IMAGES))]
    _until_fault(lab, row)
    broken = time.monotonic()
    if row.at != "start":
        # counted before, because a machine that is cut off cannot settle what it still gets
        result.in_flight = lab.calls_of(row.victims)
        lab.network.set(row.ways, row.link)
    jobs.append(lab.submit(round(row.size * MORE_IMAGES)))
    if row.seconds is not None:
        time.sleep(row.seconds)
        _heal(lab, row, result, jobs)
        result.broken_seconds = row.seconds
    lab.finish(jobs, row.most_seconds)
    result.job_seconds = _seconds_of(lab, jobs, begun)
    if row.seconds is None:
        result.broken_seconds = time.monotonic() - broken if row.ways else 0.0
    lab.network.calm()


def _until_fault(lab: Lab, row: Row) -> None:
    ready = {
        "start": lambda: True,
        "images": lambda: lab.count("images", f"job_id = '{lab.jobs[0]}' AND sha256 IS NOT NULL"),
        "calls": lambda: lab.calls_of(["w1"]) >= 2 and _done(lab) >= CONCURRENCY,
    }[row.at]
    until(ready, 60.0, "the job is under way")


def _done(lab: Lab) -> int:
    return lab.count("nodes", f"job_id = '{lab.jobs[0]}' AND status = 'done'")


def _heal(lab: Lab, row: Row, result: Result, jobs: list[str]) -> None:
    """Make the links whole, and wait until each victim has begun something new. A machine that is
    late finds nothing left to do, so it gets more."""
    since = time.time()
    before = {machine: lab.tokens_of(machine, 0.0) for machine in row.victims}
    lab.network.calm()
    healed = time.monotonic()
    missing = set(row.victims)
    while missing and time.monotonic() - healed < BACK_SECONDS:
        missing -= {name for name in missing if lab.tokens_of(name, since) - before[name]}
        if missing and lab.ended(lab.jobs):
            lab.submit(TRIAL_IMAGES)
        time.sleep(0.1)
    result.back_seconds = time.monotonic() - healed
    for name in sorted(missing):
        result.figures.broken.append(f"{name} did nothing for {BACK_SECONDS:.0f} s after the link")


def _seconds_of(lab: Lab, jobs: list[str], begun: float) -> float:
    """From the first submission to the end of the last of ``jobs``."""
    ends = "SELECT max(at) FROM events WHERE name LIKE 'job.%' AND job_id = ANY(:jobs)"
    with lab.services.database.read() as connection:
        last = float(connection.execute(text(ends), {"jobs": jobs}).scalar_one())
    return last - time.time() + time.monotonic() - begun


def _judge(lab: Lab, result: Result, ledger_before: int) -> None:
    figures, database = result.figures, lab.services.database
    with contextlib.suppress(TimeoutError):
        lab.finish(lab.jobs, REST_SECONDS)
    _rest(lab, figures)
    sums = judge.paid(lab.servers.endpoint.ledger()[ledger_before:])
    figures.calls, result.paid_twice = sums.calls, sums.repeated
    figures.expect(
        sums.repeated <= result.in_flight,
        f"{sums.repeated} calls were paid twice, {result.in_flight} were in flight",
    )
    judge.check_rows(database, lab.jobs, figures)
    for job in lab.jobs:
        result.lost += lab.count("images", f"job_id = '{job}' AND status <> 'included'")
    figures.expect(not result.lost, f"{result.lost} images are not in the answers")
    _check_limits(lab.servers.endpoint.stats(), figures)
    _check_blobs(lab, figures)


def _rest(lab: Lab, figures: Figures) -> None:
    """Wait until leases of what was lost have ended, and late replies are recorded."""
    quiet = {
        "calls at the endpoint": lambda: lab.servers.endpoint.stats()["in_flight"] == 0,
        "slots at the limiter": lambda: lab.services.limiter.state().in_flight == 0,
        "calls on the ledger": lambda: lab.count("calls", "status = 'started'") == 0,
        "replies in a spool": lambda: lab.spooled() == 0,
    }
    for name, holds in quiet.items():
        try:
            until(holds, REST_SECONDS + LEASE_SECONDS, name)
        except TimeoutError:
            figures.broken.append(f"there are still {name}")


def _check_limits(seen: dict[str, Any], figures: Figures) -> None:
    most, refused = seen["max_in_flight"], sum(seen["refused_429"].values())
    figures.notes["max_in_flight"] = most
    figures.expect(most <= CONCURRENCY, f"{most} calls were in flight at once, above {CONCURRENCY}")
    figures.expect(not refused, f"{refused} calls were answered 429")


def _check_blobs(lab: Lab, figures: Figures) -> None:
    """Every prepared image of the jobs is in the bucket."""
    named = "SELECT DISTINCT sha256 FROM images WHERE job_id = ANY(:jobs) AND sha256 IS NOT NULL"
    with lab.services.database.read() as connection:
        hashes = connection.execute(text(named), {"jobs": lab.jobs}).scalars().all()
    absent = sum(lab.services.blobs.size(sha) is None for sha in hashes)
    figures.expect(absent == 0, f"{absent} prepared images are not in the bucket")
