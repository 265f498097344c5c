"""PostgreSQL: its primary is lost, frozen, stopped on purpose, or comes back as a stale one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol

from benchmarks.failover.rows import (
    ROWS,
    ClusterStores,
    Row,
    finish,
    on_cluster,
    paid,
    play,
    promoted,
    strike,
    under_load,
)
from tests.support.cluster import OWNER, Cluster, Server
from tests.support.faults.judge import Figures
from tests.support.faults.scene import Scene
from tests.support.moving_address import Address, moving

STANDBY_SECONDS = 6.0
NO_WRITES = "accepts no writes"


class Acts(Protocol):
    """What happens in a row at an address."""

    def __call__(self, stage: Scene, *, cluster: Cluster, address: Address) -> None: ...


def fail_over(stage: Scene, cluster: Cluster) -> None:
    strike(stage)
    cluster.first.kill()
    cluster.second.promote()
    promoted(stage)


@on_cluster("hosts", "primary killed, replica promoted; both hosts in the URL")
def hosts(stage: Scene, cluster: Cluster) -> None:
    under_load(stage)
    fail_over(stage, cluster)
    finish(stage)


@on_cluster("switchover", "primary stopped in order, replica promoted; both hosts in the URL")
def switchover(stage: Scene, cluster: Cluster) -> None:
    under_load(stage)
    strike(stage)
    cluster.first.stop()
    cluster.second.promote()
    promoted(stage)
    finish(stage)


@on_cluster("frozen", "primary frozen with open sockets, replica promoted; both hosts in the URL")
def frozen(stage: Scene, cluster: Cluster) -> None:
    under_load(stage)
    strike(stage)
    with cluster.first.frozen():
        cluster.second.promote()
        promoted(stage)
        finish(stage)


@on_cluster("stale", "the lost primary starts again as a standby, a worker is started anew")
def stale(stage: Scene, cluster: Cluster) -> None:
    _returns(stage, cluster, fenced=True)


@on_cluster("unfenced", "the lost primary starts again as a primary, a worker is started anew")
def unfenced(stage: Scene, cluster: Cluster) -> None:
    _returns(stage, cluster, fenced=False)


def _returns(stage: Scene, cluster: Cluster, fenced: bool) -> None:
    under_load(stage)
    fail_over(stage, cluster)
    cluster.first.start_again(fenced)
    before = _written(cluster)
    stage.kill(stage.fleet.named("infer")[0])
    finish(stage, restarts=1)
    written = _written(cluster) - before
    stage.figures.notes["calls_on_stale"] = written
    stage.figures.expect(written == 0, f"{written} calls were written to the stale primary")


def _written(cluster: Cluster) -> int:
    return int(cluster.first.value("SELECT coalesce(max(id), 0) FROM calls", OWNER))


@on_cluster(
    "asynchronous",
    "asynchronous replica 2 s behind, primary killed, replica promoted",
    synchronous=False,
)
def asynchronous(stage: Scene, cluster: Cluster) -> None:
    """What the replica did not get is forgotten, and paid again."""
    under_load(stage)
    cluster.second.stop_streaming()
    stage.pace(2.0)
    strike(stage)
    cluster.first.kill()
    behind = len(paid(stage)) - _settled(cluster.second)
    cluster.second.promote()
    promoted(stage)
    stage.figures.notes["behind"] = behind
    stage.figures.allowed += behind
    finish(stage, forgotten=behind)


def _settled(server: Server) -> int:
    return int(server.value("SELECT count(*) FROM calls WHERE status = 'settled'", OWNER))


def at_an_address(name: str, title: str) -> Callable[[Acts], None]:
    """A row whose workers know one address, which stands for the primary at the beginning."""

    def wrap(acts: Acts) -> None:
        def run(folder: Path, seed: int) -> Figures:
            cluster = Cluster(folder / f"cluster-{name}")
            try:
                cluster.start()
                with moving(cluster.first.port) as address:
                    stores = ClusterStores(cluster, cluster.url_at(address.port))
                    body = partial(acts, cluster=cluster, address=address)
                    return play(folder, seed, (name, title), stores, body)
            finally:
                cluster.close()

        ROWS[name] = Row(name, title, run)

    return wrap


@at_an_address("address", "primary killed, replica promoted; one address that moves")
def moved(stage: Scene, *, cluster: Cluster, address: Address) -> None:
    under_load(stage)
    fail_over(stage, cluster)
    address.move(cluster.second.port)
    finish(stage)


@at_an_address("read-only", "the address moves to the replica 6 s before that is promoted")
def read_only(stage: Scene, *, cluster: Cluster, address: Address) -> None:
    under_load(stage)
    strike(stage)
    cluster.first.stop()
    address.move(cluster.second.port)
    stage.pace(STANDBY_SECONDS)
    told = [child.name for child in stage.fleet.children if NO_WRITES in child.log.read_text()]
    stage.figures.notes["processes_that_said_so"] = len(told)
    stage.figures.expect(bool(told), "no log says that the server takes no writes")
    cluster.second.promote()
    promoted(stage)
    finish(stage)
