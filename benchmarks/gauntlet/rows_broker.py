"""Rows about the broker and its messages: wiped, stopped, disconnected, duplicated and lost."""

from __future__ import annotations

import time

from benchmarks.gauntlet.rows import row
from tests.support.faults.crash_points import Weather
from tests.support.faults.scene import Plan, Scene
from tests.support.faults.servers import SentinelBroker

DISPATCH_SECONDS = 10.0
BACK_SECONDS = 10.0
BACK_AFTER_LONG_SECONDS = 35.0


@row("5", "FLUSHALL of the broker every 4 s")
def flushed(stage: Scene) -> None:
    stage.submit(stage.bench.scaled(800, 300))
    stage.until_calls(4)
    for _ in range(stage.bench.scaled(4, 2)):
        stage.fault()
        stage.broker.flush()
        if stage.pace(4.0):
            break
    stage.finish(90)
    stage.judge(limit_factor=2)
    stall = stage.figures.recovery or 0.0
    stage.figures.expect(stall <= DISPATCH_SECONDS, f"a flush stopped progress for {stall:.1f} s")


@row("6", "the broker is killed and stays down, with calls in flight", Plan(latency_seconds=1.0))
def away(stage: Scene) -> None:
    stage.submit(stage.bench.scaled(1000, 400))
    stage.until_calls(4)
    worst = 0.0
    for seconds in (0.2, 2.0) if stage.bench.short else (0.2, 2.0, 60.0):
        stage.broker.kill()
        stage.pace(seconds)
        stage.broker.start()
        back, before = time.monotonic(), stage.done()
        stage.fault()
        stage.until_done(before + 1, BACK_AFTER_LONG_SECONDS)
        taken = time.monotonic() - back
        worst = max(worst, taken)
        stage.figures.notes[f"back_after_{seconds:g}_s"] = round(taken, 1)
        bound = BACK_SECONDS if seconds <= 2.0 else BACK_AFTER_LONG_SECONDS
        stage.figures.expect(
            taken <= bound, f"{taken:.1f} s to recover from {seconds} s without the broker"
        )
        stage.pace(2.0)
    stage.finish(120)
    stage.judge(limit_factor=2)
    stage.figures.notes["exits"] = stage.fleet.deaths
    stage.figures.expect(stage.fleet.deaths == 0, f"{stage.fleet.deaths} processes ended")


@row("7", "CLIENT KILL of every connection")
def cut(stage: Scene) -> None:
    stage.submit(stage.bench.scaled(600, 240))
    stage.until_calls(4)
    for _ in range(stage.bench.scaled(5, 2)):
        stage.fault()
        stage.broker.cut_clients()
        if stage.pace(3.0):
            break
    stage.finish(90)
    stage.judge()
    stage.figures.expect(stage.fleet.deaths == 0, f"{stage.fleet.deaths} processes ended")


@row("9", "every message delivered five times", Plan(weather=Weather(copies=5)))
def delivered_five_times(stage: Scene) -> None:
    stage.submit(stage.bench.scaled(300, 100))
    stage.finish(90)
    stage.judge()


@row("drops", "every message twice, 5 % of them lost", Plan(weather=Weather(drop=0.05, copies=2)))
def doubled_and_lost(stage: Scene) -> None:
    stage.submit(stage.bench.scaled(400, 100))
    stage.finish(90)
    stage.judge()


@row("20", "the limiter's database flushed under load", Plan(latency_seconds=1.0))
def limiter_flushed(stage: Scene) -> None:
    stage.submit(stage.bench.scaled(600, 240))
    stage.until_calls(8)
    for _ in range(stage.bench.scaled(4, 2)):
        stage.broker.flush_limiter()
        if stage.pace(3.0):
            break
    stage.finish(90)
    stage.judge(limit_factor=2)


@row(
    "sentinel",
    "the primary is killed under load; its sentinels promote the replica",
    Plan(latency_seconds=1.0, sentinels=True),
)
def failed_over(stage: Scene) -> None:
    assert isinstance(stage.broker, SentinelBroker), "the plan asks for sentinels"
    stage.submit(stage.bench.scaled(800, 300))
    stage.until_calls(8)
    stage.fault()
    begun = time.monotonic()
    stage.broker.kill_primary()
    promoted, before = time.monotonic(), stage.done()
    stage.until_done(before + 1, BACK_AFTER_LONG_SECONDS)
    stage.figures.notes["promoted_after_s"] = round(promoted - begun, 1)
    stage.figures.notes["back_after_s"] = round(time.monotonic() - promoted, 1)
    stage.finish(120)
    stage.judge(limit_factor=2)
    stage.figures.notes["exits"] = stage.fleet.deaths
    stage.figures.expect(stage.fleet.deaths == 0, f"{stage.fleet.deaths} processes ended")
