"""What two transactions do to each other on PostgreSQL, where a row may change between the look at
it and the move. SQLite has one writer, so nothing of this can happen there.

Each test commits the one while the other waits for it: no chance is involved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Connection, text

from core.states import ImageStatus, NodeStatus
from models import state
from models.engine import Database
from models.state import Moved
from models.tables import Image
from tests.integration import jobs
from tests.waiting import eventually

pytestmark = pytest.mark.parametrize("database", ["postgresql"], indirect=True)

Beside = Callable[[Callable[[Connection], Any]], Future[Any]]


@pytest.fixture
def beside(database: Database) -> Iterator[Beside]:
    """``beside(work)`` does it in another transaction, and returns when that has ended or waits for
    one of ours."""
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )

    def run(work: Callable[[Connection], Any]) -> Any:
        with database.write() as connection:
            return work(connection)

    def waits() -> bool:
        with database.read() as connection:
            return bool(connection.execute(waiting).scalar())

    def begin(work: Callable[[Connection], Any]) -> Future[Any]:
        begun = pool.submit(run, work)
        eventually(lambda: begun.done() or waits())
        return begun

    with ThreadPoolExecutor() as pool:
        yield begin


def prepare_all(database: Database, job: str) -> list[int]:
    """The job's images, all prepared and each held by a token of its own."""
    with database.write() as connection:
        ids = [row.id for row in jobs.rows(connection, Image, job)]
        for image in ids:
            token = jobs.hold(connection, Image, image)
            assert jobs.record_prepared(connection, image, token, Moved())
            jobs.hold(connection, Image, image)
    return ids


def upload(connection: Connection, *images: int) -> Moved:
    moved = Moved()
    for image in images:
        assert jobs.record_uploaded(connection, image, f"held-{image}", moved)
    return moved


def test_a_leaf_whose_last_image_is_just_recorded_keeps_its_files(database, beside):
    job = jobs.submit(database, [1, 3])
    first, *images = prepare_all(database, job)
    with database.write() as connection:
        upload(connection, *images[:2])
    with database.write() as connection:
        (leaf,) = upload(connection, images[2]).leaves
        room = beside(lambda c: state.unpin_later_leaf(c, jobs.ACCOUNT, first, Moved()))
    assert room.result() == 0
    node = jobs.the_node(database, leaf)
    assert (node.status, node.pending) == (NodeStatus.READY, 0)
    assert jobs.statuses(database, Image, job)[1:] == [ImageStatus.UPLOADED] * 3
