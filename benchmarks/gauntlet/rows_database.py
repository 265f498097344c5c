"""Rows about the database: restarted, stopped, locked, with lost commits, and as the only clock."""

from __future__ import annotations

import time

from benchmarks.gauntlet.rows import row
from tests.support.faults import judge
from tests.support.faults.crash_points import Fault, Weather
from tests.support.faults.scene import Plan, Scene
from tests.support.faults.servers import PostgresStore, SqliteStore, until


@row("10", "PostgreSQL crashes and comes back every 5 s", Plan(postgres=True))
def restarted(stage: Scene) -> None:
    assert isinstance(stage.store, PostgresStore)
    stage.submit(stage.bench.scaled(800, 240))
    stage.until_calls(4)
    for _ in range(stage.bench.scaled(5, 2)):
        stage.fault()
        stage.store.server.stop_now()
        stage.store.server.start_again()
        if stage.pace(5.0):
            break
    stage.finish(120)
    stage.judge()
    stage.figures.expect(stage.figures.extra == 0, "I3: restarts alone cost calls")


@row("11", "the database is down for three leases", Plan(postgres=True, latency_seconds=2.0))
def away(stage: Scene) -> None:
    assert isinstance(stage.store, PostgresStore)
    stage.submit(stage.bench.scaled(300, 200))
    stage.until_calls(stage.plan.limits.concurrency)
    stage.store.server.stop_now()
    began = stage.in_flight()
    stage.pace(3 * stage.plan.lease_seconds)
    spooled = len(list((stage.settings.home / "spool").glob("call-*.json")))
    stage.store.server.start_again()
    stage.fault()
    back = until(lambda: not _spooled(stage), stage.plan.lease_seconds + 5.0, "the spool empties")
    stage.figures.notes |= {"in_flight": began, "spooled": spooled, "settled_after": round(back, 1)}
    stage.finish(90)
    stage.judge()
    stage.figures.expect(stage.figures.extra == 0, "I3: an outage of the database cost calls")


@row(
    "27",
    "no disk space for the spool while the database is down",
    Plan(postgres=True, latency_seconds=2.0, faults=(Fault("spool", "full", times=60),)),
)
def spool_full(stage: Scene) -> None:
    assert isinstance(stage.store, PostgresStore)
    stage.submit(100)
    stage.until_calls(8)
    stage.store.server.stop_now()
    stage.pace(4.0)
    stage.store.server.start_again()
    stage.fault()
    stage.finish(90)
    stage.judge()
    stage.figures.expect(stage.figures.extra == 0, "I3: a full spool cost paid replies")


@row(
    "12",
    "5 % of commits succeed but report a failure",
    Plan(postgres=True, weather=Weather(lost_commits=0.05)),
)
def lost_commits(stage: Scene) -> None:
    stage.submit(stage.bench.scaled(300, 120))
    stage.finish(120)
    stage.judge()
    stage.figures.expect(stage.figures.extra == 0, "I3: a lost COMMIT was paid for")


@row("locked", "another process locks SQLite for 20 s")
def locked(stage: Scene) -> None:
    assert isinstance(stage.store, SqliteStore)
    seconds = stage.bench.scaled(20, 8)
    stage.submit(stage.bench.scaled(400, 160))
    stage.until_calls(4)
    with stage.store.locked():
        stage.pace(seconds)
    stage.fault()
    stage.finish(90)
    stage.judge()
    errors = sum("database is locked" in child.log.read_text() for child in stage.fleet.children)
    stage.figures.notes["logs_with_locked"] = errors
    stage.figures.expect(stage.figures.extra == 0, "I3: the lock cost calls")


@row("stalled", "PostgreSQL is frozen for two leases, then continues", Plan(postgres=True))
def stalled(stage: Scene) -> None:
    assert isinstance(stage.store, PostgresStore)
    stage.submit(stage.bench.scaled(400, 200))
    stage.until_calls(4)
    stage.fault()
    with stage.store.server.frozen():
        time.sleep(2 * stage.plan.lease_seconds)
    stage.finish(90)
    stage.judge()
    stage.figures.expect(stage.figures.extra == 0, "I3: a stall of the database cost calls")


@row(
    "21",
    "workers' clocks are alternately five minutes fast and slow",
    Plan(postgres=True, weather=Weather(skew_seconds=300.0), latency_seconds=1.0),
)
def clocks(stage: Scene) -> None:
    stage.submit(stage.bench.scaled(300, 120))
    stage.finish(90)
    stage.judge()
    database = stage.services.database
    lost = judge.count(database, "calls", "status = 'unknown'")
    stage.figures.expect(lost == 0, f"{lost} calls were reclaimed early")
    drift = f"abs(at - {time.time()}) > 200"
    stage.figures.expect(judge.count(database, "events", drift) == 0, "a worker's clock was stored")


@row(
    "full",
    "no disk space for blobs for a while",
    Plan(faults=(Fault("blob", "full", times=12),)),
)
def blobs_full(stage: Scene) -> None:
    stage.submit(stage.bench.scaled(120, 60))
    waiting = "status = 'pending' AND error LIKE '%No space left%'"
    until(
        lambda: judge.count(stage.services.database, "images", waiting),
        30,
        "an image shows the error",
    )
    stage.finish(90)
    stage.judge()
    failed = judge.count(stage.services.database, "images", "status = 'failed'")
    stage.figures.expect(failed == 0, f"{failed} images failed because of a full disk")
    stale = "status = 'included' AND error IS NOT NULL"
    left = judge.count(stage.services.database, "images", stale)
    stage.figures.expect(left == 0, f"{left} included images still show an error")


def _spooled(stage: Scene) -> bool:
    return any((stage.settings.home / "spool").glob("call-*.json"))
