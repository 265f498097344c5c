"""Repair: lost work continues, exhausted work fails, ended jobs can be reopened."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from core.errors import RefusalCode
from core.states import ImageStatus, JobStatus, NodeStatus
from models import claims, repair, state
from models.state import Moved
from models.tables import Image, Node
from tests.support import jobs

ATTEMPTS_MAX = 3


def reclaim(database) -> tuple[bool, int, int, Moved]:
    """One round of the reconciler: whether it did anything, reclaimed nodes, failed images."""
    moved = Moved()
    with database.read() as connection:
        due = repair.anything_expired(connection, ATTEMPTS_MAX)
    with database.write() as connection:
        nodes = repair.reclaim_nodes(connection, ATTEMPTS_MAX, moved)
        images = repair.fail_poison(connection, ATTEMPTS_MAX, moved)
    return due, nodes, images, moved


def claim_images(database, seconds=jobs.LONG):
    with database.write() as connection:
        return claims.claim_images(
            connection, jobs.ACCOUNT, ImageStatus.PENDING, jobs.lease(seconds), 8, ATTEMPTS_MAX
        ).images


def recount(database) -> tuple[int, Moved]:
    moved = Moved()
    with database.write() as connection:
        return repair.recount(connection, moved)[0], moved


# --- leases


def test_leased_rows_are_not_touched(database):
    jobs.upload_all(database, jobs.submit(database, [1]))
    jobs.submit(database, [2])
    leaf = jobs.upload_all(database, jobs.submit(database, [1])).leaves[0]
    jobs.run_node(database, leaf)
    claim_images(database)
    assert reclaim(database) == (False, 0, 0, Moved())


def test_a_lost_node_is_ready_again_until_its_attempts_are_used_up(database):
    job = jobs.submit(database, [2, 1])
    leaf, other = jobs.upload_all(database, job).leaves
    jobs.finish_node(database, other)
    for _ in range(ATTEMPTS_MAX - 1):
        jobs.run_node(database, leaf)
        jobs.expire(database, Node)
        assert reclaim(database) == (True, 1, 0, Moved(leaves=[leaf]))
    jobs.run_node(database, leaf)
    jobs.expire(database, Node)
    assert reclaim(database) == (True, 1, 0, Moved(branches=[jobs.root_of(database, job)]))
    assert jobs.covered(database, job) == {"failed": 2, "included": 1}


def test_parallel_reconcilers_reclaim_a_node_once(database):
    (leaf,) = jobs.upload_all(database, jobs.submit(database, [1])).leaves
    jobs.run_node(database, leaf)
    jobs.expire(database, Node)
    rounds = jobs.at_once(lambda _: reclaim(database), range(8))
    assert sum(moved.leaves == [leaf] for _, _, _, moved in rounds) == 1
    assert jobs.the_node(database, leaf).attempts == 1


def test_an_image_that_kills_its_workers_fails_and_the_others_continue(database):
    job = jobs.submit(database, [1])
    for _ in range(ATTEMPTS_MAX):
        assert len(claim_images(database, seconds=0.0)) == 1
    assert claim_images(database) == []
    due, _, failed, moved = reclaim(database)
    assert (due, failed, moved.ended) == (True, 1, [job])
    (image,) = jobs.look(database, Image, job)
    assert (image.status, image.error_code) == ("failed", RefusalCode.POISON)
    assert image.error


def test_an_image_whose_last_attempt_was_postponed_fails_with_that_reason(database):
    job = jobs.submit(database, [1])
    for _ in range(ATTEMPTS_MAX):
        (image,) = claim_images(database)
        with database.write() as connection:
            token = jobs.hold(connection, Image, image.id)
            state.images_postponed(
                connection, [image.id], token, 0, "503 again", costs_attempt=True
            )
    due, _, failed, _ = reclaim(database)
    assert (due, failed) == (True, 1)
    (image,) = jobs.look(database, Image, job)
    assert (image.status, image.error) == ("failed", "503 again")


# --- countdowns


def test_the_countdowns_of_a_running_job_are_correct(database):
    job = jobs.submit(database, [2, 1, 1], fan_in=2)
    assert recount(database) == (0, Moved())
    leaves = jobs.upload_all(database, job).leaves
    assert recount(database) == (0, Moved())
    jobs.finish_node(database, leaves[0])
    assert recount(database) == (0, Moved())


@pytest.mark.parametrize("wrong", [0, 9])
def test_a_wrong_countdown_is_corrected_and_opens_nodes_without_pending_parts(database, wrong):
    job = jobs.submit(database, [1, 1])
    leaf, other = jobs.upload_all(database, job).leaves
    jobs.finish_node(database, leaf)
    root = jobs.root_of(database, job)
    with database.write() as connection:
        connection.execute(update(Node).where(Node.id == root).values(pending=wrong))
    assert recount(database) == (1, Moved())
    assert jobs.the_node(database, root).pending == 1
    jobs.finish_node(database, other)
    with database.write() as connection:
        values = {"status": NodeStatus.WAITING, "pending": 0}
        connection.execute(update(Node).where(Node.id == root).values(**values))
    assert recount(database) == (1, Moved(branches=[root]))


def test_a_leaf_without_pending_images_is_opened(database):
    job = jobs.submit(database, [2])
    (leaf,) = jobs.upload_all(database, job).leaves
    with database.write() as connection:
        values = {"status": NodeStatus.WAITING, "pending": 0}
        connection.execute(update(Node).where(Node.id == leaf).values(**values))
    assert recount(database) == (1, Moved(leaves=[leaf]))
    assert recount(database) == (0, Moved())


# --- reopening


def reopen(database, job) -> tuple[int, Moved]:
    moved = Moved()
    with database.write() as connection:
        return repair.reopen(connection, job, moved), moved


def finish_again(database, job, moved) -> None:
    """The nodes opened at once, and then those that the images open."""
    jobs.finish_all(database, moved)
    jobs.finish_all(database, jobs.upload_all(database, job))


def cancel(database, job) -> None:
    with database.write() as connection:
        assert state.job_cancelled(connection, job, Moved())


@pytest.mark.parametrize("answered", [0, 1, 3])
def test_a_cancelled_job_is_reopened_where_it_stopped(database, answered):
    job = jobs.submit(database, [2, 2, 2], duplicates=1)
    for leaf in jobs.upload_all(database, job).leaves[:answered]:
        jobs.finish_node(database, leaf)
    cancel(database, job)
    again, moved = reopen(database, job)
    assert again == 6 - 2 * answered
    assert recount(database) == (0, Moved())
    done = [n for n in jobs.look(database, Node, job) if n.status == NodeStatus.DONE]
    assert len(done) == answered
    finish_again(database, job, moved)
    ended = jobs.the_job(database, job)
    assert (ended.status, ended.included, ended.duplicate) == (JobStatus.COMPLETED, 6, 1)


@pytest.mark.parametrize("bad", [[1], [1, 2], [1, 2, 3], [1, 2, 3, 4]])
def test_the_failed_images_of_an_ended_job_are_tried_again(database, bad):
    job = jobs.submit(database, [2, 1, 1], fan_in=2)
    with database.write() as connection:
        for image in jobs.rows(connection, Image, job):
            if image.position in bad:
                jobs.fail_image(connection, image.id, RefusalCode.CORRUPT, "bad", Moved())
    jobs.finish_all(database, jobs.upload_all(database, job))
    before = jobs.the_job(database, job)
    assert before.failed == len(bad)
    again, moved = reopen(database, job)
    assert again == len(bad)
    assert recount(database) == (0, Moved())
    taken_up = jobs.the_job(database, job)
    assert (taken_up.status, taken_up.answer) == (JobStatus.RUNNING, None)
    finish_again(database, job, moved)
    ended = jobs.the_job(database, job)
    assert (ended.status, ended.included, ended.failed) == (JobStatus.COMPLETED, 4, 0)
    assert ended.answer


def test_an_image_that_is_shown_again_keeps_no_proof_of_the_reply_before(database):
    job = jobs.submit(database, [2, 1], fan_in=2)
    with database.write() as connection:
        first = jobs.rows(connection, Image, job)[0]
        jobs.fail_image(connection, first.id, RefusalCode.CORRUPT, "bad", Moved())
    jobs.finish_all(database, jobs.upload_all(database, job))
    jobs.prove(database, job, "line", 2, 3)
    reopen(database, job)
    images = {image.position: image for image in jobs.look(database, Image, job)}
    assert {n: image.status for n, image in images.items()} == {
        1: ImageStatus.PENDING,
        2: ImageStatus.UPLOADED,  # in the leaf of the failed one
        3: ImageStatus.INCLUDED,
    }
    assert [(images[n].seen, images[n].note) for n in (2, 3)] == [
        (None, None),
        ("line", "a red barn [3]"),
    ]


def test_a_job_cancelled_before_its_root_call_makes_it_when_reopened(database):
    job = jobs.submit(database, [1, 1])
    for leaf in jobs.upload_all(database, job).leaves:
        jobs.finish_node(database, leaf)
    cancel(database, job)
    root = jobs.root_of(database, job)
    assert reopen(database, job) == (0, Moved(branches=[root]))
    jobs.finish_node(database, root)
    assert jobs.the_job(database, job).status == JobStatus.COMPLETED


def test_a_split_tree_is_reopened_with_its_splits(database):
    job = jobs.submit(database, [4, 1])
    leaf = jobs.upload_all(database, job).leaves[0]
    images = [image.id for image in jobs.look(database, Image, job)][:4]
    token, moved = jobs.run_node(database, leaf), Moved()
    with database.write() as connection:
        state.split_leaf(connection, leaf, token, [images[:2], images[2:]], moved)
    jobs.finish_node(database, moved.leaves[0])
    cancel(database, job)
    again, moved = reopen(database, job)
    assert again == 3
    assert recount(database) == (0, Moved())
    finish_again(database, job, moved)
    ended = jobs.the_job(database, job)
    assert (ended.status, ended.included) == (JobStatus.COMPLETED, 5)


def test_a_deepened_tree_is_reopened_unchanged(database):
    job = jobs.submit(database, [1] * 8, fan_in=4)
    leaves = jobs.upload_all(database, job).leaves
    branches = [b for leaf in leaves for b in jobs.finish_node(database, leaf).branches]
    token = jobs.run_node(database, branches[0])
    with database.write() as connection:
        groups = [leaves[:2], leaves[2:4]]
        assert state.split_branch(connection, branches[0], token, groups, Moved())
        failed = jobs.rows(connection, Image, job)[0].id
        jobs.fail_image(connection, failed, RefusalCode.BLOCKED, "no", Moved())
    cancel(database, job)
    _, moved = reopen(database, job)
    assert recount(database) == (0, Moved())
    finish_again(database, job, moved)
    ended = jobs.the_job(database, job)
    assert (ended.status, ended.included) == (JobStatus.COMPLETED, 8)


def test_only_an_ended_job_without_a_complete_answer_is_reopened(database):
    job = jobs.submit(database, [1])
    assert reopen(database, job) == (0, Moved())
    jobs.finish_all(database, jobs.upload_all(database, job))
    assert reopen(database, job) == (0, Moved())
    assert jobs.the_job(database, job).status == JobStatus.COMPLETED
