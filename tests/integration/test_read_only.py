"""A PostgreSQL that is read-only for a while: a failover, or a full disk."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from core.errors import ServiceAway
from core.states import NodeStatus
from models.engine import Database
from models.tables import Node
from tasks import infer
from tasks.calls.run import run
from tasks.upkeep.reconciler import Reconciler
from tests.support import jobs
from tests.support.account import prepare_and_upload
from tests.support.postgres import TEMPLATE, Postgres
from tests.support.waiting import eventually


@pytest.fixture
def database(postgres: Postgres) -> Iterator[Database]:
    """SQLite has no such state."""
    with postgres.database(TEMPLATE) as url:
        database = Database(url)
        yield database
        database.dispose()


@pytest.fixture
def read_only(postgres: Postgres, database: Database) -> Callable[[bool], None]:
    """``read_only(True)``: from now on it takes no writes, and open connections have ended."""

    def turn(on: bool) -> None:
        name = make_url(database.url).database
        postgres.execute(
            f"ALTER DATABASE {name} SET default_transaction_read_only = {'on' if on else 'off'}",
        )
        if on:
            postgres.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                f" WHERE datname = '{name}' AND pid <> pg_backend_pid()"
            )

    return turn


def write(database: Database) -> None:
    with database.write() as connection:
        connection.execute(text("UPDATE jobs SET label = 'x'"))


def test_writers_get_service_away_until_writes_work_again(database, read_only):
    write(database)
    read_only(True)
    for _ in range(2):  # the ended connection, then a read-only one
        with pytest.raises(ServiceAway):
            write(database)
    with database.read() as connection:
        connection.execute(text("SELECT label FROM jobs"))
    read_only(False)
    with pytest.raises(ServiceAway):  # the connection that was used for the read
        write(database)
    write(database)


def test_a_reply_received_meanwhile_is_paid_once(open_account, make_images, database, read_only):
    account = open_account(start=False)
    services = account.services
    job = account.submit(make_images(4))
    prepare_and_upload(account, job)
    chat = services.provider.chat

    def answer(*words, **more):
        reply = chat(*words, **more)
        read_only(True)
        return reply

    services.provider.chat = answer
    asked = threading.Thread(target=lambda: run(services, infer.STAGE))
    asked.start()
    eventually(lambda: list(services.spool.waiting()), 15.0)
    read_only(False)
    asked.join()
    assert not list(services.spool.waiting())
    assert jobs.statuses(database, Node, job) == [NodeStatus.DONE]
    assert account.sandbox.stats()["paid"] == 1


def test_leases_get_their_full_length_after_writes_work_again(open_account, read_only):
    now = 0.0
    services = open_account(start=False, lease_seconds=10.0).services
    reconciler = Reconciler(services, clock=lambda: now, quiet_until=5.0)
    read_only(True)
    services.database.dispose()
    now = 1.0
    reconciler.tick()
    assert reconciler.quiet_until == 11.0
    read_only(False)
    services.database.dispose()
    now = 2.0
    reconciler.tick()
    assert reconciler.quiet_until == 11.0
