"""A real PgBouncer between the workers and PostgreSQL."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.failover.bouncer import Bouncer, program
from benchmarks.failover.rows import (
    PLAN,
    ROWS,
    ClusterStores,
    Row,
    finish,
    play,
    strike,
    under_load,
)
from tests.support.cluster import Cluster
from tests.support.faults.fleet import service_environment
from tests.support.faults.judge import Figures
from tests.support.faults.scene import Scene

FROZEN_SECONDS = 4.0
DOCTOR_SECONDS = 60.0


def no_bouncer() -> str:
    return "" if program() else "this machine has no pgbouncer (Debian: apt-get install pgbouncer)"


def on_bouncer(
    name: str, title: str, **options: object
) -> Callable[[Callable[[Scene, Bouncer, Cluster], None]], None]:
    """A row whose workers, migrations and judge all go through PgBouncer with these options."""

    def wrap(body: Callable[[Scene, Bouncer, Cluster], None]) -> None:
        def run(folder: Path, seed: int) -> Figures:
            cluster = Cluster(folder / f"cluster-{name}")
            bouncer = Bouncer(
                folder / f"bouncer-{name}",
                cluster.first.port,
                **options,  # type: ignore[arg-type]
            )
            try:
                cluster.start()
                bouncer.start()
                stores = ClusterStores(cluster, bouncer.url)
                return play(
                    folder,
                    seed,
                    (name, title),
                    stores,
                    lambda stage: body(stage, bouncer, cluster),
                    PLAN,
                )
            finally:
                bouncer.kill()
                cluster.close()

        ROWS[name] = Row(name, title, run, no_bouncer)

    return wrap


@on_bouncer("bouncer", "PgBouncer, transaction mode, 4 server connections, killed and restarted")
def transactions(stage: Scene, bouncer: Bouncer, cluster: Cluster) -> None:
    under_load(stage)
    strike(stage)
    bouncer.kill()
    bouncer.start()
    _doctor(stage)
    finish(stage)


@on_bouncer("bouncer-over", "PgBouncer, transaction mode; its PostgreSQL fails over behind it")
def behind(stage: Scene, bouncer: Bouncer, cluster: Cluster) -> None:
    under_load(stage)
    strike(stage)
    cluster.first.kill()
    cluster.second.promote()
    bouncer.point_to(cluster.second.port)
    finish(stage)


@on_bouncer("bouncer-full", "PgBouncer with one server connection and waits of 1 s", size=1, wait=1)
def full(stage: Scene, bouncer: Bouncer, cluster: Cluster) -> None:
    under_load(stage)
    strike(stage)
    with cluster.first.frozen():
        time.sleep(FROZEN_SECONDS)  # a look at the job would wait for the frozen server, too
    finish(stage)


@on_bouncer(
    "bouncer-sess", "PgBouncer in session mode, 60 server connections", mode="session", size=60
)
def sessions(stage: Scene, bouncer: Bouncer, cluster: Cluster) -> None:
    under_load(stage)
    strike(stage)
    bouncer.kill()
    bouncer.start()
    finish(stage)


def _doctor(stage: Scene) -> None:
    """``overstory doctor`` through the pooler says that the database can be used."""
    done = subprocess.run(
        [sys.executable, "-m", "overstory", "doctor"],
        env=os.environ | service_environment(stage.settings),
        capture_output=True,
        text=True,
        timeout=DOCTOR_SECONDS,
        check=False,
    )
    says = [line for line in done.stdout.splitlines() if "database" in line]
    fine = any("answers and is up to date" in line for line in says)
    stage.figures.expect(fine, f"the doctor says of the database: {says or done.stderr[-300:]}")
