"""A PostgreSQL with a replica: which server is used after a failover, and what ends a wait."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text

from core.errors import ServiceAway
from models import servers
from models.engine import Database
from overstory.doctor import parts
from overstory.doctor.context import Context
from overstory.doctor.finding import Level
from tests.support.cluster import Cluster
from tests.support.moving_address import moving
from tests.support.waiting import eventually

PORT = "SELECT inet_server_port()"


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Not under pytest's own folder: as root the servers run as a user who may not enter there."""
    with tempfile.TemporaryDirectory(prefix="overstory-tests-") as name:
        Path(name).chmod(0o711)
        cluster = Cluster(Path(name) / "cluster")
        cluster.start()
        yield cluster
        cluster.close()


def number(database: Database, sql: str) -> int:
    with database.write() as connection:
        return int(connection.execute(text(sql)).scalar_one())


def reached(database: Database) -> int | None:
    """The port of the server that takes writes now; None while none does."""
    try:
        return number(database, PORT)
    except ServiceAway:
        return None


def fail_over(cluster: Cluster) -> None:
    cluster.first.kill()
    cluster.second.promote()


def test_the_new_primary_is_found_and_the_returned_one_is_not_used(cluster: Cluster) -> None:
    """``idle`` does nothing during the failover; ``fresh`` begins when both take writes."""
    used, idle, fresh = (Database(cluster.hosts_url) for _ in range(3))
    assert {reached(used), reached(idle)} == {cluster.first.port}
    fail_over(cluster)
    eventually(lambda: reached(used) == cluster.second.port)
    cluster.first.start_again(fenced=False)
    eventually(lambda: reached(idle) == cluster.second.port)
    assert reached(fresh) == cluster.second.port
    cluster.second.kill()
    told = "it was the primary before a failover (timeline 1, and 2 was seen)"
    eventually(lambda: told in refusal(used))  # at first the connections that broke are told
    for database in (used, idle, fresh):
        database.dispose()


def refusal(database: Database) -> str:
    """Why no server takes writes now; empty if one does."""
    try:
        number(database, PORT)
    except ServiceAway as error:
        return str(error)
    return ""


def test_an_address_that_moves_is_followed(cluster: Cluster) -> None:
    with moving(cluster.first.port) as address:
        database = Database(cluster.url_at(address.port))
        assert reached(database) == cluster.first.port
        fail_over(cluster)
        address.move(cluster.second.port)
        eventually(lambda: reached(database) == cluster.second.port)
        database.dispose()


def test_a_standby_is_told_and_used_once_it_is_promoted(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = cluster.url_at(cluster.second.port)
    database = Database(url)
    with pytest.raises(ServiceAway, match=r"accepts no writes: it is a standby"):
        make_table(database)
    monkeypatch.setenv("OVERSTORY_DATABASE_URL", url)
    context = Context.examine(os.environ)
    finding = parts.database(context)
    context.database.dispose()
    assert finding.level is Level.FAILED
    assert "accepts no writes" in finding.says
    fail_over(cluster)
    make_table(database)
    database.dispose()


def make_table(database: Database) -> None:
    with database.write() as connection:
        connection.execute(text("CREATE TABLE taken (id int)"))


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections are looked at often."""
    monkeypatch.setattr(servers, "LOOK_SECONDS", 0.05)


@pytest.mark.usefixtures("soon")
def test_a_wait_for_a_server_that_stands_still_ends(cluster: Cluster) -> None:
    database = Database(f"{cluster.hosts_url}&connect_timeout=2")
    assert reached(database) == cluster.first.port
    with ThreadPoolExecutor(1) as threads, cluster.first.frozen():
        answer = threads.submit(reached, database)
        cluster.second.promote()
        assert answer.result(30) in (None, cluster.second.port)
        eventually(lambda: reached(database) == cluster.second.port)
    database.dispose()


@pytest.mark.usefixtures("soon")
def test_a_slow_statement_is_left_alone(cluster: Cluster) -> None:
    database = Database(cluster.hosts_url)
    assert number(database, "SELECT count(pg_sleep(1))") == 1
    database.dispose()
