"""Rows about killed, stopped and frozen processes."""

from __future__ import annotations

import contextlib
import os
import signal
import time

from benchmarks.gauntlet.rows import row
from core.catalog.tiers import AccountLimits
from tests.support.faults import crash_points, judge
from tests.support.faults.crash_points import Fault
from tests.support.faults.scene import Plan, Scene
from tests.support.faults.servers import until

ONE_AT_A_TIME = AccountLimits(1, 60_000, 1_000_000_000)
POISON = "00005.jpg"
KILLING_SECONDS = 480.0  # a limit, because a busy machine restarts workers slower than they die
CRASHES = (
    Fault("claimed", nth=2),
    Fault("call", nth=2),
    Fault("call", "kill_soon", nth=2),
    Fault("called", nth=2),
    Fault("settle", "away", nth=2),
    Fault("spooled"),
    Fault("settled", nth=2),
    Fault("done", nth=2),
    Fault("committed", nth=2),
    Fault("publish", nth=1, match="overstory.aggregate"),
    Fault("reclaimed", nth=1),
    Fault("reclaim_committed", nth=4),
    Fault("uploaded", nth=2),
    Fault("stored", nth=4),
    Fault("image_uploaded", nth=2),
    Fault("prepare", nth=3),
)
FEW_FILES = 24
PAID_AGAIN = 2  # the call in flight, and the reply that was not recorded yet


@row("1", "no fault")
def none(stage: Scene) -> None:
    stage.submit(stage.bench.scaled(400, 120))
    stage.finish(90)
    stage.judge()
    stage.figures.expect(stage.figures.calls == stage.figures.nodes, "I3: calls differ from nodes")


@row("2", "kill -9 of an infer worker every 2 to 4 s")
def calling_workers(stage: Scene) -> None:
    stage.submit(stage.bench.scaled(900, 240))
    stage.until_calls(4)
    for _ in range(stage.bench.scaled(8, 3)):
        stage.kill(stage.random.choice(stage.fleet.named("infer")))
        if stage.pace(stage.random.uniform(2.0, 4.0)):
            break
    stage.finish(120)
    stage.judge()


@row(
    "inline",
    "quota of 24 files, then inline; kill -9 of upload and infer workers",
    Plan(
        sandbox={"max_files": FEW_FILES},
        settings={"files_max": FEW_FILES, "inline_when_full": True},
    ),
)
def inline(stage: Scene) -> None:
    stage.submit(stage.bench.scaled(900, 240))
    stage.until_calls(4)
    for turn in range(stage.bench.scaled(8, 4)):
        stage.kill(stage.random.choice(stage.fleet.named(("infer", "upload")[turn % 2])))
        if stage.pace(stage.random.uniform(1.0, 3.0)):
            break
    stage.finish(120)
    stage.judge()
    most = judge.most_files(stage.endpoint.ledger())
    stage.figures.notes["most files"] = most
    stage.figures.expect(0 < most <= FEW_FILES, f"{most} files were stored at once")


@row(
    "3",
    "kill -9 at 16 named points, one call at a time",
    Plan(
        limits=ONE_AT_A_TIME,
        infer_processes=1,
        lease_seconds=3.0,
        images_per_request=2,
        faults=CRASHES,
    ),
)
def named_points(stage: Scene) -> None:
    stage.submit(stage.bench.scaled(60, 40))
    stage.finish(180)
    stage.figures.allowed = crash_points.lost(stage.folder / "flags")
    stage.judge()
    stage.figures.kills = stage.fleet.deaths
    missing = len(CRASHES) - stage.figures.notes["struck"]
    stage.figures.expect(missing == 0, f"{missing} points were never reached")
    stage.figures.expect(stage.figures.extra >= PAID_AGAIN, "the two paid calls were not lost")
    seen = stage.endpoint.stats()
    again = seen["uploads"] - seen["distinct_uploads"]
    stage.figures.expect(again == 0, f"{again} images were uploaded twice")


@row(
    "4",
    "kill -9 of preprocess children, and an image that kills its worker",
    Plan(lease_seconds=3.0, faults=(Fault("prepare", times=99, match=POISON),)),
)
def preparing_children(stage: Scene) -> None:
    job = stage.submit(stage.bench.scaled(200, 60))
    worker = stage.fleet.named("preprocess")[0]
    for _ in range(4):
        until(lambda: worker.forked() or stage.ended(), 20, "the pool has children")
        for pid in worker.forked()[:1]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            stage.figures.kills += 1
            stage.fault()
        stage.pace(0.5)
    stage.finish(120)
    stage.judge()
    failed = judge.count(stage.services.database, "images", "status = 'failed'")
    poison = f"status = 'failed' AND error_code = 'poison' AND name LIKE '%{POISON}'"
    stage.figures.expect(failed == 1, f"{failed} images failed, expected 1")
    stage.figures.expect(
        judge.count(stage.services.database, "images", poison) == 1,
        "the image that kills its worker has another error code",
    )
    stage.figures.notes["deaths_by_poison"] = stage.figures.notes.pop("struck")
    stage.figures.expect(stage.status(job) == "partial", "the job is not partial")


@row(
    "8",
    "kill -9 between taking a message and registering it",
    Plan(faults=(Fault("popped", times=6),)),
)
def popped(stage: Scene) -> None:
    stage.submit(stage.bench.scaled(200, 60))
    stage.finish(90)
    stage.judge()
    stage.figures.kills = stage.fleet.deaths
    stage.figures.expect(stage.figures.extra == 0, "I3: a call was paid twice")


@row(
    "19",
    "kill -9 of the process that holds all slots",
    Plan(infer_processes=1, latency_seconds=1.0),
)
def slots(stage: Scene) -> None:
    stage.submit(160)
    stage.until_calls(stage.plan.limits.concurrency // 2)
    stage.kill(stage.fleet.named("infer")[0])
    until(lambda: stage.in_flight() == 0, 10, "the killed worker's calls end")
    back = until(lambda: stage.in_flight() > 0 or stage.ended(), 40, "calls are sent again")
    stage.figures.notes["slots_back_seconds"] = round(back, 1)
    stage.finish(90)
    stage.judge()


@row("22", "an infer worker is frozen for two leases")
def frozen(stage: Scene) -> None:
    stage.submit(stage.bench.scaled(200, 160))
    stage.until_calls(4)
    worker = stage.fleet.named("infer")[0]
    stage.fault()
    worker.signal(signal.SIGSTOP)
    stage.figures.allowed += stage.held(worker)
    stage.pace(2 * stage.plan.lease_seconds)
    worker.signal(signal.SIGCONT)
    stage.finish(90)
    stage.judge()


@row("23", "SIGTERM of each worker in turn, under load", Plan(latency_seconds=1.0))
def rolling(stage: Scene) -> None:
    stage.submit(stage.bench.scaled(400, 200))
    stage.until_calls(4)
    slowest = 0.0
    for child in stage.fleet.named("infer") + stage.fleet.named("upload"):
        pid, begun = child.pid, time.monotonic()
        child.signal(signal.SIGTERM)
        until(lambda c=child, p=pid: c.pid != p, 30, f"{child.name} stops")  # type: ignore[misc]
        slowest = max(slowest, time.monotonic() - begun)
        stage.pace(2.0)
    stage.finish(90)
    stage.judge()
    stage.figures.notes["slowest_stop_seconds"] = round(slowest, 1)
    stage.figures.expect(stage.figures.extra == 0, "I3: a soft stop cost calls")
    longest = stage.plan.latency_seconds * 4 / 3 + 5.0
    stage.figures.expect(slowest <= longest, f"a stop took {slowest:.1f} s")


@row(
    "24",
    "two reconcilers: kill either, both, then run without any for a while",
    Plan(reconcilers=2),
)
def reconcilers(stage: Scene) -> None:
    stage.submit(stage.bench.scaled(800, 400))
    first, second = stage.fleet.named("reconciler")
    stage.until_calls(2)
    for victims in ((first,), (second,), (first, second)):
        for victim in victims:
            stage.kill(victim)
        stage.pace(2.0)
    for child in (first, second):
        child.wanted = False
        stage.kill(child)
    stage.kill(stage.fleet.named("infer")[0])
    stage.pace(stage.bench.scaled(15, 8))
    for child in (first, second):
        child.wanted = True
    stage.finish(90)
    stage.judge()


@row("kills", "kill -9 of random processes at random points, jobs of 300 images")
def random_points(stage: Scene) -> None:
    wanted, kills = stage.bench.scaled(200, 15), 0
    deadline = time.monotonic() + KILLING_SECONDS
    while kills < wanted and time.monotonic() < deadline:
        if stage.ended():
            stage.submit(stage.bench.scaled(300, 150), ask=f"Question {len(stage.jobs)}?")
        victim = stage.random.choice(stage.fleet.children)
        forked = victim.forked()
        if forked and stage.random.random() < 0.5:
            with contextlib.suppress(ProcessLookupError):
                os.kill(stage.random.choice(forked), signal.SIGKILL)
            stage.figures.kills += 1
        else:
            stage.kill(victim)
        kills += 1
        stage.until_step()
        stage.pace(stage.random.uniform(0.0, 1.0))
    stage.finish(120)
    stage.judge()
    stage.figures.notes["jobs"] = len(stage.jobs)
