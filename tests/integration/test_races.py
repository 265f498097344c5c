"""Races of two transactions on PostgreSQL, where a row may change between its read and its move.
SQLite has one writer, so these races cannot happen there.

Each test commits one transaction while the other waits for it, so results do not depend on chance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Connection, select, text, update

from core.errors import RefusalCode
from core.states import ImageStatus, JobStatus, NodeStatus
from models import provider_files, repair, state
from models.engine import Database
from models.provider_files import Claim
from models.state import Moved
from models.tables import Image, Node
from tests.support import jobs
from tests.support.waiting import eventually

pytestmark = pytest.mark.parametrize("database", ["postgresql"], indirect=True)

Beside = Callable[[Callable[[Connection], Any]], Future[Any]]


@pytest.fixture
def beside(database: Database) -> Iterator[Beside]:
    """``beside(work)`` runs it in another transaction, and returns when that has ended or waits for
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
    """The job's images, all prepared, each leased to its own token."""
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


def test_a_leaf_whose_last_image_is_being_recorded_keeps_its_files(database, beside):
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


def test_an_image_that_fails_while_being_recorded_decrements_its_leaf_once(database, beside):
    job = jobs.submit(database, [2, 1])
    image, missing, _ = prepare_all(database, job)
    with database.write() as connection:
        upload(connection, image)
        failing = (image, RefusalCode.POISON, "tried too often", Moved())
        failed = beside(lambda c: jobs.fail_image(c, *failing))
    assert failed.result()
    leaf = jobs.look(database, Image, job)[0].node_id
    assert jobs.the_node(database, leaf).pending == 1  # for the missing image
    with database.write() as connection:
        assert upload(connection, missing).leaves == [leaf]


def expired_leaf(database: Database, job: str) -> tuple[int, str]:
    """A leaf of a late worker: the lease has expired and is not reclaimed yet."""
    leaf = jobs.upload_all(database, job).leaves[0]
    token = jobs.run_node(database, leaf)
    with database.write() as connection:
        connection.execute(update(Node).where(Node.id == leaf).values(lease_until=0.0))
    return leaf, token


def test_a_leaf_that_its_late_worker_postpones_is_not_reclaimed_as_ready(database, beside):
    job = jobs.submit(database, [3])
    leaf, token = expired_leaf(database, job)
    gone = [image.id for image in jobs.look(database, Image, job)][:2]
    moved = Moved()
    with database.write() as connection:
        assert state.node_waits_again(connection, leaf, token, gone, Moved())
        reclaimed = beside(lambda c: repair.reclaim_nodes(c, 5, moved))
    reclaimed.result()
    node = jobs.the_node(database, leaf)
    assert (node.status, node.pending, moved) == (NodeStatus.WAITING, 2, Moved())
    assert jobs.upload_all(database, job).leaves == [leaf]


def test_an_image_recorded_by_its_late_worker_does_not_fail_as_exhausted(database, beside):
    job = jobs.submit(database, [1, 1])
    image, _ = prepare_all(database, job)
    with database.write() as connection:
        spent = {"attempts": 5, "lease_until": 0.0}
        connection.execute(update(Image).where(Image.id == image).values(**spent))
    with database.write() as connection:
        upload(connection, image)
        poison = beside(lambda c: repair.fail_poison(c, 5, Moved()))
    assert poison.result() == 0
    assert jobs.statuses(database, Image, job)[0] == ImageStatus.UPLOADED


def test_a_leaf_that_is_being_opened_is_not_recounted(database, beside):
    job = jobs.submit(database, [2, 1])
    _, last, _ = prepare_all(database, job)
    leaf = jobs.look(database, Image, job)[0].node_id
    with database.write() as connection:
        connection.execute(update(Node).where(Node.id == leaf).values(pending=1))  # by hand
    with database.write() as connection:
        assert upload(connection, last).leaves == [leaf]
        mended = beside(lambda c: repair.recount(c, Moved())[0])
    assert mended.result() == 0
    assert jobs.the_node(database, leaf).pending == 0


def test_a_job_can_be_cancelled_while_its_answer_is_recorded(database, beside):
    job = jobs.submit(database, [1, 1])
    leaf, _ = jobs.upload_all(database, job).leaves
    token = jobs.run_node(database, leaf)
    with database.write() as connection:
        moving = select(Node.id).where(Node.id == leaf).with_for_update(key_share=True)
        connection.execute(moving)  # recording an answer locks the node, then the images
        cancelled = beside(lambda c: state.job_cancelled(c, job, Moved()))
        assert jobs.node_done(connection, leaf, token, "notes", Moved())
    assert cancelled.result()
    assert jobs.covered(database, job) == {"included": 1, "skipped": 1}


def test_a_file_that_is_being_evicted_is_not_given_to_an_image(database, beside):
    sizes, lease = {"sha": 100}, jobs.lease()
    with database.write() as connection:
        provider_files.claim_all(connection, jobs.ACCOUNT, sizes, lease, 10)
        provider_files.stored_all(connection, jobs.ACCOUNT, {"sha": "file-1"})
    with database.write() as connection:
        assert len(provider_files.evict(connection, jobs.ACCOUNT, 1)) == 1
        told = beside(lambda c: provider_files.claim_all(c, jobs.ACCOUNT, sizes, lease, 10))
    assert told.result() == {"sha": Claim.BUSY}  # until the provider deletes it


def test_two_images_that_fail_at_the_same_time_are_both_counted(database, beside):
    job = jobs.submit(database, [2, 2], min_coverage=0.7)
    one, _, another, _ = prepare_all(database, job)
    why, moved = (RefusalCode.UPLOAD_FAILED, "no"), Moved()
    with database.write() as connection:
        assert jobs.fail_image(connection, one, *why, moved)
        failed = beside(lambda c: jobs.fail_image(c, another, *why, moved))
    assert failed.result()
    assert jobs.the_job(database, job).status == JobStatus.FAILED  # 2 of 4
    assert moved.ended == [job]
