"""The only writer of state: guarded moves and exact fan-in under replays, races and losses."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import event, update
from sqlalchemy.exc import IntegrityError

from core.errors import RefusalCode
from core.requests.review import LeafImages
from core.states import ImageStatus, JobStatus, NodeStatus, Seen
from models import repair, state
from models.engine import Database
from models.reads import pipeline
from models.state import Moved
from models.tables import Image, Job, Node
from tests.support import jobs

POISON = RefusalCode.POISON


# --- replays


def test_a_move_replayed_three_times_counts_once(database):
    job = jobs.submit(database, [2, 1])
    image = jobs.look(database, Image, job)[0]
    moved = Moved()
    with database.write() as connection:
        token = jobs.hold(connection, Image, image.id)
        took = [jobs.record_prepared(connection, image.id, token, moved) for _ in range(3)]
    assert (took, moved.prepared) == ([True, False, False], 1)
    with database.write() as connection:
        jobs.hold(connection, Image, image.id)
        took = [jobs.record_uploaded(connection, image.id, token, moved) for _ in range(3)]
    assert took == [True, False, False]
    assert jobs.the_node(database, image.node_id).pending == 1
    assert jobs.events(database, job, "image.uploaded") == 1


def test_an_answer_replayed_three_times_counts_once(database):
    job = jobs.submit(database, [2, 1])
    leaf, other = jobs.upload_all(database, job).leaves
    token, moved = jobs.run_node(database, leaf), Moved()
    with database.write() as connection:
        took = [jobs.node_done(connection, leaf, token, "notes", moved) for _ in range(3)]
    assert took == [True, False, False]
    assert jobs.the_node(database, jobs.root_of(database, job)).pending == 1
    assert moved == Moved()
    assert jobs.finish_node(database, other).branches == [jobs.root_of(database, job)]
    assert jobs.events(database, job, "image.included") == 3


def test_a_failure_replayed_three_times_counts_once(database):
    job = jobs.submit(database, [3])
    image, moved = jobs.look(database, Image, job)[0], Moved()
    with database.write() as connection:
        for _ in range(3):
            jobs.fail_image(connection, image.id, POISON, "bad", moved)
    assert jobs.the_node(database, image.node_id).pending == 2
    assert jobs.events(database, job, "image.failed") == 1


# --- races


def test_parallel_children_start_each_parent_exactly_once(database):
    job = jobs.submit(database, [1] * 240, fan_in=4)
    leaves = jobs.upload_all(database, job).leaves
    with database.write() as connection:
        values = {"status": NodeStatus.RUNNING, "lease_token": "t", "lease_until": 1e12}
        connection.execute(update(Node).where(Node.id.in_(leaves)).values(**values))

    def complete(leaf: int) -> tuple[bool, list[int]]:
        moved = Moved()
        with database.write() as connection:
            took = jobs.node_done(connection, leaf, "t", "notes", moved)
        return took, moved.branches

    thrice = leaves * 3
    random.Random(7).shuffle(thrice)
    done = jobs.at_once(complete, thrice)
    nodes = jobs.look(database, Node, job)
    parents = sorted(node.id for node in nodes if node.level == 1)
    assert len(parents) == 60
    assert sorted(node for _, started in done for node in started) == parents
    assert sum(took for took, _ in done) == 240
    assert {node.status for node in nodes if node.level == 1} == {NodeStatus.READY}
    assert {node.status for node in nodes if node.level > 1} == {NodeStatus.WAITING}


def test_parallel_uploads_start_each_leaf_exactly_once(database):
    job = jobs.submit(database, [4] * 30)
    images = [image.id for image in jobs.look(database, Image, job)]
    with database.write() as connection:
        values = {"status": ImageStatus.PREPARED, "lease_token": "t", "lease_until": 1e12}
        connection.execute(update(Image).where(Image.id.in_(images)).values(**values))

    def complete(image: int) -> list[int]:
        moved = Moved()
        with database.write() as connection:
            jobs.record_uploaded(connection, image, "t", moved)
        return moved.leaves

    thrice = images * 3
    random.Random(7).shuffle(thrice)
    started = [leaf for leaves in jobs.at_once(complete, thrice) for leaf in leaves]
    nodes = jobs.look(database, Node, job)
    assert sorted(started) == sorted(node.id for node in nodes if node.kind == "leaf")


def test_parallel_slices_over_the_same_leaves_all_finish(database):
    job = jobs.submit(database, [40, 40])
    images = [image.id for image in jobs.look(database, Image, job)]
    random.Random(3).shuffle(images)
    with database.write() as connection:
        for image in images:  # so that rows are not stored in the order of their ids
            values = {"status": ImageStatus.PREPARED, "lease_token": "t", "lease_until": 1e12}
            connection.execute(update(Image).where(Image.id == image).values(**values))

    def record(part: int) -> list[int]:
        moved = Moved()
        with database.write() as connection:
            state.images_uploaded(connection, "t", images[part : part + 4], moved)
        return moved.leaves

    started = [leaf for leaves in jobs.at_once(record, range(0, 80, 4)) for leaf in leaves]
    assert len(started) == len(set(started)) == 2


# --- lost leases


def test_a_worker_without_an_images_lease_can_record_nothing(database):
    job = jobs.submit(database, [1])
    image, moved = jobs.look(database, Image, job)[0], Moved()
    with database.write() as connection:
        jobs.hold(connection, Image, image.id, "the new one")
        assert not jobs.record_prepared(connection, image.id, "lost", moved)
        assert not jobs.fail_image(connection, image.id, POISON, "bad", moved, "lost")
        state.images_postponed(connection, [image.id], "lost", 60, "later", costs_attempt=True)
    held = {"lease_token": "the new one", "lease_until": 1e12}
    assert jobs.look(database, Image, job)[0]._asdict() == image._asdict() | held
    assert moved == Moved()


def test_a_worker_without_a_nodes_lease_can_record_nothing(database):
    job = jobs.submit(database, [2])
    (leaf,) = jobs.upload_all(database, job).leaves
    lost, moved = jobs.run_node(database, leaf), Moved()
    with database.write() as connection:
        assert state.node_reclaimed(connection, leaf, lost)
        assert not state.node_reclaimed(connection, leaf, lost)
    jobs.run_node(database, leaf)
    before, groups = jobs.the_node(database, leaf), [[1], [2]]
    with database.write() as connection:
        assert not jobs.node_done(connection, leaf, lost, "late", moved)
        assert not state.node_failed(connection, leaf, POISON, "late", moved, lost)
        assert not state.split_leaf(connection, leaf, lost, groups, moved)
        assert not state.split_branch(connection, leaf, lost, groups, moved)
        assert not state.node_waits_again(connection, leaf, lost, [], moved)
        assert not state.node_reclaimed(connection, leaf, lost)
        state.node_postponed(connection, leaf, lost, 60, "late", costs_attempt=True)
    assert jobs.the_node(database, leaf) == before
    assert moved == Moved()


def test_a_postponement_costs_an_attempt_only_if_requested(database):
    job = jobs.submit(database, [1])
    (leaf,) = jobs.upload_all(database, job).leaves
    for costs, attempts in [(False, 0), (True, 1), (False, 1), (True, 2)]:
        token = jobs.run_node(database, leaf)
        with database.write() as connection:
            state.node_postponed(connection, leaf, token, 0, "later", costs)
        assert jobs.the_node(database, leaf).attempts == attempts


@contextmanager
def statements(database) -> Iterator[list[str]]:
    """The statements that run inside the block."""
    run: list[str] = []

    def note(connection, cursor, statement, *rest) -> None:
        run.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    yield run
    event.remove(database.engine, "before_cursor_execute", note)


@pytest.mark.parametrize("options", [{}, {"min_coverage": 0.1}])
def test_failing_a_node_takes_the_same_statements_for_any_number_of_images(database, options):
    taken = []
    for images in (2, 90):
        job = jobs.submit(database, [images, 20], **options)
        leaf, _ = jobs.upload_all(database, job).leaves
        token = jobs.run_node(database, leaf)
        with statements(database) as run, database.write() as connection:
            assert state.node_failed(connection, leaf, POISON, "no", Moved(), token)
        assert jobs.covered(database, job) == {"failed": images}
        assert jobs.events(database, job, "image.failed") == images
        taken.append(len(run))
    assert taken[0] == taken[1]


# --- splits


def halve(database, node: int, rows: list[int]) -> Moved:
    """Split a ready leaf or branch in two."""
    token, moved = jobs.run_node(database, node), Moved()
    half = (len(rows) + 1) // 2
    kind = jobs.the_node(database, node).kind
    split = state.split_leaf if kind == "leaf" else state.split_branch
    with database.write() as connection:
        assert split(connection, node, token, [rows[:half], rows[half:]], moved)
    return moved


def shape(database, job: str) -> tuple[int, int, int]:
    with database.read() as connection:
        tree = pipeline.tree_shape(connection, job)
    return tree.depth, tree.nodes, tree.leaves


def test_the_halves_of_a_leaf_take_its_place_under_its_parent(database):
    job = jobs.submit(database, [4, 2])
    leaf, other = jobs.upload_all(database, job).leaves
    images = [i.id for i in jobs.look(database, Image, job) if i.node_id == leaf]
    moved = halve(database, leaf, images)
    assert len(moved.leaves) == 2
    assert jobs.the_node(database, leaf).status == NodeStatus.SPLIT
    assert jobs.the_node(database, jobs.root_of(database, job)).pending == 3
    jobs.finish_all(database, Moved(leaves=[other, *moved.leaves]))
    assert jobs.the_job(database, job).status == JobStatus.COMPLETED
    assert jobs.covered(database, job) == {"included": 6}
    assert shape(database, job) == (2, 4, 3)


def test_a_leaf_that_is_the_root_becomes_the_branch_over_its_halves(database):
    job = jobs.submit(database, [5])
    (leaf,) = jobs.upload_all(database, job).leaves
    images = [image.id for image in jobs.look(database, Image, job)]
    moved = halve(database, leaf, images)
    root = jobs.the_node(database, leaf)
    assert (root.kind, root.status, root.pending) == ("branch", NodeStatus.WAITING, 2)
    spans = [(n.first_position, n.last_position) for n in jobs.look(database, Node, job)]
    assert sorted(spans) == [(1, 3), (1, 5), (4, 5)]
    jobs.finish_all(database, moved)
    done = jobs.the_job(database, job)
    assert (done.status, done.answer) == (JobStatus.COMPLETED, f"notes {leaf}")
    assert shape(database, job) == (2, 3, 2)


def test_a_branch_whose_notes_are_too_many_gets_a_level_below(database):
    job = jobs.submit(database, [1] * 5)
    leaves = jobs.upload_all(database, job).leaves
    for leaf in leaves:
        jobs.finish_node(database, leaf)
    root = jobs.root_of(database, job)
    moved = halve(database, root, leaves)
    assert len(moved.branches) == 2
    assert jobs.the_node(database, root).pending == 2
    jobs.finish_all(database, moved)
    done = jobs.the_job(database, job)
    assert (done.status, done.answer) == (JobStatus.COMPLETED, f"notes {root}")
    assert jobs.the_node(database, root).images == 5
    assert shape(database, job) == (3, 8, 5)


@pytest.mark.parametrize("leaves", [[4], [4, 1]])
def test_a_failed_half_fails_only_its_own_images(database, leaves):
    job = jobs.submit(database, leaves)
    ready = jobs.upload_all(database, job).leaves
    images = [i.id for i in jobs.look(database, Image, job) if i.node_id == ready[0]]
    bad, good = halve(database, ready[0], images).leaves
    token, moved = jobs.run_node(database, bad), Moved()
    with database.write() as connection:
        assert state.node_failed(connection, bad, RefusalCode.BLOCKED, "no", moved, token)
    jobs.finish_all(database, Moved(leaves=[good, *ready[1:]]))
    assert jobs.the_job(database, job).status == JobStatus.PARTIAL
    assert jobs.covered(database, job) == {"included": sum(leaves) - 2, "failed": 2}


# --- failures on the way up


def test_a_leaf_without_a_usable_image_fails_and_the_rest_is_answered(database):
    job, moved = jobs.submit(database, [1, 1], duplicates=2), Moved()
    bad, good = jobs.look(database, Image, job)[:2]
    with database.write() as connection:
        jobs.fail_image(connection, bad.id, RefusalCode.CORRUPT, "bad", moved)
    assert jobs.the_node(database, bad.node_id).status == NodeStatus.FAILED
    jobs.finish_all(database, jobs.upload_all(database, job))
    assert jobs.the_job(database, job).status == JobStatus.PARTIAL
    assert jobs.covered(database, job) == {"included": 1, "failed": 1, "duplicate": 2}
    assert jobs.the_node(database, good.node_id).status == NodeStatus.DONE


def test_a_job_without_a_usable_image_fails(database):
    job, moved = jobs.submit(database, [2, 1]), Moved()
    with database.write() as connection:
        for image in jobs.rows(connection, Image, job):
            jobs.fail_image(connection, image.id, RefusalCode.CORRUPT, "bad", moved)
    done = jobs.the_job(database, job)
    assert (done.status, done.answer, moved.ended) == (JobStatus.FAILED, None, [job])
    assert done.reason
    assert (done.failed, done.included) == (3, 0)


def test_a_failed_branch_fails_the_images_below_it(database):
    job, moved = jobs.submit(database, [1] * 4, fan_in=2), Moved()
    leaves = jobs.upload_all(database, job).leaves
    branches = [b for leaf in leaves for b in jobs.finish_node(database, leaf).branches]
    token = jobs.run_node(database, branches[0])
    with database.write() as connection:
        state.node_failed(connection, branches[0], RefusalCode.BLOCKED, "no", moved, token)
    jobs.finish_all(database, Moved(branches=branches[1:]))
    done = jobs.the_job(database, job)
    assert done.status == JobStatus.PARTIAL
    assert (done.included, done.failed, done.submitted) == (2, 2, 4)


@pytest.mark.parametrize("end", ["cancelled", "failed"])
def test_an_ended_job_skips_untried_images_and_refuses_late_answers(database, end):
    job, moved = jobs.submit(database, [1, 1]), Moved()
    leaf, late = jobs.upload_all(database, job).leaves
    jobs.finish_node(database, leaf)
    token = jobs.run_node(database, late)
    with database.write() as connection:
        if end == "cancelled":
            assert state.job_cancelled(connection, job, moved)
            assert not state.job_cancelled(connection, job, moved)
        else:
            state.job_failed(connection, job, "no key", moved)
            state.job_failed(connection, job, "no key", moved)
        assert not jobs.node_done(connection, late, token, "late", moved)
    done = jobs.the_job(database, job)
    assert (done.status, moved.ended) == (end, [job])
    assert (done.included, done.skipped, done.answer) == (1, 1, None)


def test_a_lost_file_sends_its_image_back_and_the_leaf_waits(database):
    job, moved = jobs.submit(database, [3]), Moved()
    (leaf,) = jobs.upload_all(database, job).leaves
    token = jobs.run_node(database, leaf)
    gone = [image.id for image in jobs.look(database, Image, job)][:2]
    with database.write() as connection:
        assert state.node_waits_again(connection, leaf, token, gone, moved)
    node = jobs.the_node(database, leaf)
    assert (node.status, node.pending, moved.prepared) == (NodeStatus.WAITING, 2, 2)
    assert jobs.upload_all(database, job).leaves == [leaf]
    jobs.finish_node(database, leaf)
    assert jobs.covered(database, job) == {"included": 3}


def test_coverage_never_exceeds_what_was_submitted(database):
    job = jobs.submit(database, [2])
    with pytest.raises(IntegrityError), database.write() as connection:
        connection.execute(update(Job).where(Job.id == job).values(included=2, failed=1))


def test_a_job_paused_during_its_last_call_ends_with_the_reply(database):
    job = jobs.submit(database, [2])
    (root,) = jobs.upload_all(database, job).leaves
    token = jobs.run_node(database, root)
    moved = Moved()
    with database.write() as connection:
        assert state.job_moved(connection, job, JobStatus.PAUSED, "on request")
        assert jobs.node_done(connection, root, token, "the answer", moved)
    assert jobs.the_job(database, job).status == JobStatus.COMPLETED
    assert moved.ended == [job]


@pytest.mark.parametrize("asked", [{"fail_fast": True}, {"min_coverage": 0.9}])
def test_a_paused_job_ends_when_a_required_image_fails(database, asked):
    job = jobs.submit(database, [2, 2], **asked)
    leaf, _ = jobs.upload_all(database, job).leaves
    token, moved = jobs.run_node(database, leaf), Moved()
    with database.write() as connection:
        assert state.job_moved(connection, job, JobStatus.PAUSED, "on request")
    with database.write() as connection:
        assert state.node_failed(connection, leaf, RefusalCode.BLOCKED, "no", moved, token)
    assert jobs.the_job(database, job).status == JobStatus.FAILED
    assert moved.ended == [job]


def test_a_job_has_one_root(database):
    job = jobs.submit(database, [1, 1])
    with pytest.raises(IntegrityError), database.write() as connection:
        connection.execute(update(Node).where(Node.job_id == job).values(parent_id=None))


# --- any order of anything


class Walk:
    """One job brought to its end by random legal moves."""

    def __init__(self, database, seed: int) -> None:
        self.database = database
        self.random = random.Random(seed)
        sizes = [self.random.randint(1, 5) for _ in range(self.random.randint(1, 6))]
        self.job = jobs.submit(database, sizes, fan_in=2, duplicates=2)
        self.submitted = sum(sizes) + 2

    def step(self) -> bool:
        """Make one move; returns False when no move is left."""
        images = [
            image
            for image in jobs.look(self.database, Image, self.job)
            if image.status in (ImageStatus.PENDING, ImageStatus.PREPARED)
        ]
        nodes = [
            node
            for node in jobs.look(self.database, Node, self.job)
            if node.status == NodeStatus.READY
        ]
        if not images and not nodes:
            return False
        pick = self.random.choice([*images, *nodes])
        (self._image if pick in images else self._node)(pick)
        return True

    def _image(self, image) -> None:
        with self.database.write() as connection:
            token = jobs.hold(connection, Image, image.id)
            if self.random.random() < 0.15:
                jobs.fail_image(connection, image.id, POISON, "bad", Moved(), token)
            elif image.status == ImageStatus.PENDING:
                jobs.record_prepared(connection, image.id, token, Moved())
            else:
                jobs.record_uploaded(connection, image.id, token, Moved())

    def _node(self, node) -> None:
        token = jobs.run_node(self.database, node.id)
        draw = self.random.random()
        with self.database.write() as connection:
            if node.kind == "leaf":
                below = [image.id for image in pipeline.look_images(connection, node.id)]
            else:
                below = [note.node_id for note in pipeline.notes(connection, node.id)]
            half = len(below) // 2
            groups = [below[:half], below[half:]]
            if draw < 0.25 and half:
                split = state.split_leaf if node.kind == "leaf" else state.split_branch
                assert split(connection, node.id, token, groups, Moved())
            elif draw < 0.35:
                state.node_failed(connection, node.id, POISON, "bad", Moved(), token)
            elif draw < 0.45 and node.kind == "leaf":
                state.node_waits_again(connection, node.id, token, below[:1], Moved())
            elif draw < 0.55:
                state.node_postponed(connection, node.id, token, 0, "later", costs_attempt=True)
            else:
                jobs.node_done(connection, node.id, token, "notes", Moved())

    def check(self) -> None:
        """Every image is in one state, and all countdowns are exact."""
        assert len(jobs.look(self.database, Image, self.job)) == self.submitted
        with self.database.write() as connection:
            assert repair.recount(connection, Moved())[0] == 0


@pytest.mark.parametrize("seed", range(6))
def test_every_walk_through_the_states_ends_and_covers_every_image(database, seed):
    walk = Walk(database, seed)
    for _ in range(400):
        walk.check()
        if not walk.step():
            break
    done = jobs.the_job(database, walk.job)
    assert JobStatus(done.status).ended
    assert done.included + done.failed + done.duplicate + done.skipped == walk.submitted
    assert jobs.covered(database, walk.job).get("included", 0) == done.included
    assert (done.answer is not None) == (done.status in (JobStatus.COMPLETED, JobStatus.PARTIAL))
    assert not set(jobs.statuses(database, Node, walk.job)) & {
        NodeStatus.WAITING, NodeStatus.READY, NodeStatus.RUNNING,
    }  # fmt: skip


# --- answers per image


def answered_leaf(database: Database, job: str) -> Moved:
    """Record a leaf of three in which the second image got no answer."""
    (leaf,) = jobs.upload_all(database, job).leaves
    token = jobs.run_node(database, leaf)
    moved = Moved()
    with database.write() as connection:
        answers = {1: "red", 3: {"colour": "blue"}}
        images = LeafImages(
            dict.fromkeys(answers, Seen.ANSWER),
            answers=answers,
            unseen={2: (RefusalCode.NO_ANSWER, "no usable answer")},
        )
        assert state.node_done(connection, leaf, token, "[1] red\n[3] blue", 0, moved, images)
    return moved


def test_answers_are_stored_with_their_images_and_the_unanswered_fail(database: Database) -> None:
    job = jobs.submit(database, [3])
    assert answered_leaf(database, job).ended == [job]
    images = jobs.look(database, Image, job)
    assert [image.answer for image in images] == ["red", None, {"colour": "blue"}]
    assert [image.status for image in images] == ["included", "failed", "included"]
    assert images[1].error_code == RefusalCode.NO_ANSWER
    assert jobs.look(database, Node, job)[0].images == 2
    assert jobs.the_job(database, job).status == JobStatus.PARTIAL


def test_a_job_that_fails_fast_has_no_answer_without_one_image(database: Database) -> None:
    job = jobs.submit(database, [3], fail_fast=True)
    assert answered_leaf(database, job).ended == [job]
    row = jobs.the_job(database, job)
    assert (row.status, row.answer) == (JobStatus.FAILED, None)


def test_an_answer_object_is_pure_json_even_with_missing_images(database: Database) -> None:
    job = jobs.submit(database, [3], schema="{}")
    answered_leaf(database, job)
    assert jobs.the_job(database, job).answer == "[1] red\n[3] blue"


def test_a_retried_leaf_drops_its_answers(database: Database) -> None:
    job = jobs.submit(database, [3])
    answered_leaf(database, job)
    with database.write() as connection:
        assert repair.reopen(connection, job, Moved()) == 1
    assert [image.answer for image in jobs.look(database, Image, job)] == [None, None, None]
