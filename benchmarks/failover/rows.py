"""How a row is written: a scene whose database or broker fails over, and its judgement."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from core.catalog.tiers import AccountLimits
from core.errors import ServiceAway
from tests.support.cluster import Cluster
from tests.support.faults import judge
from tests.support.faults.judge import Figures
from tests.support.faults.scene import Bench, Plan, Scene, scene
from tests.support.faults.servers import Stores

IMAGES = 320
PLAN = Plan(
    postgres=True,
    limits=AccountLimits(8, 60_000, 1_000_000_000),
    latency_seconds=0.65,  # a third of it more or less, so 0.4 to 0.9 s
)
FINISH_SECONDS = 180.0


@dataclass(frozen=True)
class Row:
    """``needs``: why it cannot run on this machine; empty if it can."""

    name: str
    title: str
    run: Callable[[Path, int], Figures]
    needs: Callable[[], str] = lambda: ""


ROWS: dict[str, Row] = {}


class ClusterStore:
    """The cluster's database by the URL that the workers get."""

    def __init__(self, cluster: Cluster, url: str) -> None:
        self.url = url
        self._cluster = cluster

    def close(self) -> None:
        """The cluster closes itself."""


@dataclass
class ClusterStores:
    """What a scene asks for its database."""

    cluster: Cluster
    url: str

    def store(self) -> ClusterStore:
        return ClusterStore(self.cluster, self.url)

    def close(self) -> None:
        self.cluster.close()


def play(
    folder: Path,
    seed: int,
    row: tuple[str, str],
    stores: Stores,
    body: Callable[[Scene], None],
    plan: Plan = PLAN,
) -> Figures:
    """Run ``body`` in a scene on ``stores``; a timeout in it is a broken promise."""
    begun = time.monotonic()
    with scene(Bench(folder, stores, seed, short=False), plan, *row) as stage:
        try:
            body(stage)
        except (TimeoutError, ServiceAway) as error:
            stage.figures.broken.append(f"{type(error).__name__}: {error}")
    stage.figures.seconds = time.monotonic() - begun
    return stage.figures


def on_cluster(
    name: str,
    title: str,
    url: Callable[[Cluster], str] = lambda cluster: cluster.hosts_url,
    synchronous: bool = True,
    plan: Plan = PLAN,
) -> Callable[[Callable[[Scene, Cluster], None]], None]:
    """A row over a primary and its replica."""

    def wrap(body: Callable[[Scene, Cluster], None]) -> None:
        def run(folder: Path, seed: int) -> Figures:
            cluster = Cluster(folder / f"cluster-{name}", synchronous)
            try:
                cluster.start()
                stores = ClusterStores(cluster, url(cluster))
                return play(
                    folder, seed, (name, title), stores, lambda stage: body(stage, cluster), plan
                )
            finally:
                cluster.close()

        ROWS[name] = Row(name, title, run)

    return wrap


def under_load(stage: Scene, images: int = IMAGES, nodes: int = 8) -> None:
    """Submit a job, and wait until some nodes are done and a call is in flight. More are in flight
    unless the machine is too busy to prepare pictures."""
    stage.submit(images)
    stage.until_done(nodes, 90.0)
    stage.until_calls(1)


def strike(stage: Scene) -> None:
    """A fault happens now: what is in flight may be paid twice."""
    stage.figures.expect(not stage.ended(), "the job had ended before the fault")
    stage.figures.allowed += stage.in_flight()
    stage.fault()


def promoted(stage: Scene) -> None:
    """Note how long after the first fault the new primary takes writes."""
    stage.figures.notes["promoted_after_s"] = round(time.time() - stage.faults_at[0], 1)


def finish(stage: Scene, limit_factor: int = 1, forgotten: int = 0, restarts: int = 0) -> None:
    """Let the jobs end, and judge. ``forgotten``: paid calls that the ledger may have lost."""
    stage.finish(FINISH_SECONDS)
    stage.judge(limit_factor)
    figures, database = stage.figures, stage.services.database
    left = judge.count(database, "images", "status <> 'included'")
    figures.notes["images_lost"] = left
    figures.expect(left == 0, f"{left} images are not included")
    figures.notes["restarts"] = stage.fleet.deaths
    deaths = stage.fleet.deaths - restarts
    figures.expect(deaths == 0, f"{deaths} processes ended by themselves")
    figures.recovery = _longest_pause(stage)
    _check_ledger(stage, forgotten)


def _longest_pause(stage: Scene) -> float | None:
    """The longest time after the first fault in which no call about images began at the provider,
    while there were calls to make. A call that was in flight and is recorded tells nothing."""
    begun = [
        line["time"]
        for line in stage.endpoint.ledger()
        if line["event"] == "start" and line["images"]
    ]
    fault = stage.faults_at[0]
    times = [fault, *sorted(at for at in begun if at > fault)]
    return max((later - at for at, later in pairwise(times)), default=None)


def paid(stage: Scene) -> list[dict[str, Any]]:
    """The replies that the provider has given."""
    replies = [line for line in stage.endpoint.ledger() if line["event"] == "reply"]
    return [line for line in replies if line["status"] == 200]


def _check_ledger(stage: Scene, forgotten: int) -> None:
    """Every reply that the provider gave is on the ledger: as many, with the same tokens. A killed
    worker's call is there as unknown."""
    figures, database = stage.figures, stage.services.database
    given = paid(stage)
    kept = judge.count(database, "calls", "status = 'settled'")
    unknown = judge.count(database, "calls", "status = 'unknown'")
    missing = len(given) - kept
    figures.notes["forgotten"] = max(0, missing - unknown)
    figures.expect(
        0 <= missing <= forgotten + unknown,
        f"the provider gave {len(given)} replies; the ledger has {kept}, and {unknown} unknown",
    )
    if missing == 0:
        there = sum(line["prompt_tokens"] + line["completion_tokens"] for line in given)
        tokens = "coalesce(sum(prompt_tokens + completion_tokens), 0)"
        here = judge.number(database, f"SELECT {tokens} FROM calls WHERE status = 'settled'")
        figures.expect(there == here, f"{there} tokens at the provider, {here} on the ledger")
