"""Redis by Sentinel: broker and limiter lose their primary while calls are in flight."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from benchmarks.failover.rows import PLAN, ROWS, Row, finish, play, promoted, strike, under_load
from tests.support.faults.judge import Figures
from tests.support.faults.scene import Scene
from tests.support.faults.servers import Postgres, SentinelBroker, until

SENTINELS = replace(PLAN, postgres=False, sentinels=True)
FROZEN_SECONDS = 5.0
OVER = 2
"""A failover may lose the leases and the window of what was not replicated: at most one more share
of the limits passes."""


def on_sentinels(
    name: str, title: str
) -> Callable[[Callable[[Scene, SentinelBroker], None]], None]:
    def wrap(body: Callable[[Scene, SentinelBroker], None]) -> None:
        def run(folder: Path, seed: int) -> Figures:
            def acted(stage: Scene) -> None:
                assert isinstance(stage.broker, SentinelBroker), "the plan asks for sentinels"
                body(stage, stage.broker)

            unused = Postgres(folder / f"unused-{name}")
            return play(folder, seed, (name, title), unused, acted, SENTINELS)

        ROWS[name] = Row(name, title, run)

    return wrap


@on_sentinels("sentinel", "Redis: primary killed, its sentinels promote the replica")
def killed(stage: Scene, broker: SentinelBroker) -> None:
    under_load(stage)
    strike(stage)
    broker.kill_primary()
    promoted(stage)
    finish(stage, OVER)


@on_sentinels("redis-switch", "Redis: SENTINEL FAILOVER while the primary runs")
def switched(stage: Scene, broker: SentinelBroker) -> None:
    under_load(stage)
    strike(stage)
    broker.switch_over()
    promoted(stage)
    finish(stage, OVER)


@on_sentinels("redis-frozen", "Redis: primary frozen, replica promoted, back as a stale primary")
def frozen(stage: Scene, broker: SentinelBroker) -> None:
    under_load(stage)
    strike(stage)
    with broker.primary_frozen():
        promoted(stage)
        time.sleep(FROZEN_SECONDS)
    back = until(broker.is_demoted, 60.0, "the stale primary is a replica")
    stage.figures.notes["demoted_after_s"] = round(back, 1)
    finish(stage, OVER)
