"""Claims: fair turns between jobs, and only the lease holder may work."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from sqlalchemy import update

from core.stages import AGGREGATE, INFER, PREPROCESS, UPLOAD
from core.states import ImageStatus, JobStatus, NodeKind, NodeStatus
from models import claims, ledger, state
from models.ledger import NewCall
from models.reads import pipeline
from models.state import Moved
from models.tables import Image, Job, Node
from tests.support import jobs

PENDING = ImageStatus.PENDING


def claim(database, limit=8, *, account=jobs.ACCOUNT, seconds=jobs.LONG, attempts_max=5):
    with database.write() as connection:
        return claims.claim_images(
            connection, account, PENDING, jobs.lease(seconds), limit, attempts_max
        ).images


def next_node(database, kind=NodeKind.LEAF, account=jobs.ACCOUNT):
    with database.read() as connection:
        return claims.next_node(connection, account, kind)


def ask(database, node, key=None):
    """Claim a node and record a call of 100 tokens; None if the same request is in flight."""
    lease = jobs.lease()
    call = NewCall(key or f"key-{node.id}", node.job_id, node.id, jobs.ACCOUNT, "m", 1, 100, "USD")
    with database.write() as connection:
        assert claims.claim_node(connection, node, lease, 100)
        call_id = ledger.open_call(connection, call, lease)
        if call_id is None:
            state.node_postponed(connection, node.id, lease.token, 0.0, "its twin", False)
    return call_id


# --- images


def test_a_slice_has_images_of_one_job_in_input_order(database):
    first, second = jobs.submit(database, [3, 2]), jobs.submit(database, [4])
    slices = [claim(database, 4), claim(database, 4), claim(database, 4)]
    assert [(s[0].job_id, [i.position for i in s]) for s in slices] == [
        (first, [1, 2, 3, 4]),
        (second, [1, 2, 3, 4]),
        (first, [5]),
    ]
    assert claim(database) == []


@pytest.mark.parametrize(
    ("limit", "shares", "claimed", "due"),
    [
        (2, False, 2, 3),  # more of the same job wait: others are not counted
        (8, False, 3, 8),  # all of the first job, so those of the second are counted
        (8, True, 2, 8),  # one part in four of what waits
        (1, True, 1, 4),
    ],
)
def test_a_claim_tells_how_many_wait(database, limit, shares, claimed, due):
    jobs.submit(database, [3])
    jobs.submit(database, [5])
    with database.write() as connection:
        args = (jobs.ACCOUNT, PENDING, jobs.lease(), limit, 5, shares)
        found = claims.claim_images(connection, *args)
    assert (len(found.images), found.due) == (claimed, due)


def test_parallel_workers_never_claim_the_same_image(database):
    jobs.submit(database, [100])
    slices = jobs.at_once(lambda _: claim(database, 3), range(60))
    claimed = [image.position for images in slices for image in images]
    assert len(claimed) == len(set(claimed))
    while rest := claim(database, 3):
        claimed += [image.position for image in rest]
    assert sorted(claimed) == list(range(1, 101))


def test_an_expired_lease_is_claimed_again_and_costs_an_attempt(database):
    jobs.submit(database, [1])
    attempts = [image.attempts for _ in range(9) for image in claim(database, seconds=0.0)]
    assert attempts == [1, 2, 3, 4, 5]


def test_preparing_is_true_while_an_image_is_leased(database):
    def prepares():
        with database.read() as connection:
            return pipeline.anyone_prepares(connection)

    jobs.submit(database, [2])
    assert not prepares()
    claim(database, 1, seconds=0.0)  # expires at once
    assert not prepares()
    claim(database, 1)
    assert prepares()


def test_a_retried_image_is_claimed_last_and_alone(database):
    job = jobs.submit(database, [4])
    (first,) = claim(database, 1, seconds=0.0)
    assert [image.position for image in claim(database)] == [2, 3, 4]
    assert [(i.job_id, i.id) for i in claim(database)] == [(job, first.id)]


@pytest.mark.parametrize(
    "hinder",
    [{"due_at": 1e12}, {"lease_token": "t", "lease_until": 1e12}, {"status": "prepared"}],
)
def test_rows_that_are_not_due_or_are_leased_are_not_claimed(database, hinder):
    job = jobs.submit(database, [2])
    with database.write() as connection:
        connection.execute(update(Image).where(Image.position == 1).values(**hinder))
    assert [(i.job_id, i.position) for i in claim(database)] == [(job, 2)]


@pytest.mark.parametrize("status", ["paused", "cancelled", "failed", "completed"])
def test_a_job_that_is_not_running_is_not_served(database, status):
    job = jobs.submit(database, [1])
    jobs.upload_all(database, jobs.submit(database, [1], account="else"))
    with database.write() as connection:
        connection.execute(update(Job).where(Job.id == job).values(status=status))
    assert claim(database) == []
    assert next_node(database) is None


def test_workers_serve_only_jobs_of_their_account(database):
    mine, other = jobs.submit(database), jobs.submit(database, account="other")
    assert {i.job_id for i in claim(database, account="other")} == {other}
    jobs.upload_all(database, mine)
    assert next_node(database, account="other") is None
    assert next_node(database).job_id == mine
    with database.read() as connection:
        assert claims.waiting_work(connection, "other", 9) == {}
        assert claims.waiting_work(connection, jobs.ACCOUNT, 9) == {INFER: 1}


# --- turns


def test_images_of_a_late_small_job_are_served_next(database):
    large = jobs.submit(database, [100])
    for _ in range(5):
        claim(database)
    late = jobs.submit(database, [2])
    served = [claim(database)[0].job_id for _ in range(3)]
    assert late in served[:2]
    assert served.count(large) == 2


def test_calls_of_a_late_small_job_are_sent_next(database):
    large = jobs.submit(database, [1] * 20)
    jobs.upload_all(database, large)
    for _ in range(10):
        ask(database, next_node(database))
    late = jobs.submit(database, [1])
    jobs.upload_all(database, late)
    asked = []
    for _ in range(3):
        node = next_node(database)
        asked.append(node.job_id)
        ask(database, node)
    assert late in asked[:2]
    assert asked.count(large) == 2


def test_a_new_job_does_not_make_others_wait_for_their_past_use(database):
    old = jobs.submit(database, [50])
    for _ in range(4):
        claim(database)
    jobs.submit(database, [50])
    turns = [claim(database, 4)[0].job_id for _ in range(6)]
    assert turns.count(old) == 3


def test_a_new_job_starts_equal_to_the_other_jobs_of_its_account(database):
    jobs.submit(database, [1], account="a key that was changed")  # it is not served again
    old = jobs.submit(database, [1])
    had = {"served_images": 9_000.0, "served_tokens": 5e6}
    with database.write() as connection:
        connection.execute(update(Job).where(Job.id == old).values(**had))
    new = jobs.the_job(database, jobs.submit(database, [1]))
    assert {name: getattr(new, name) for name in had} == had


def test_only_sent_calls_count_as_service_not_waits_for_a_duplicate(database):
    first, twin = jobs.submit(database, [1]), jobs.submit(database, [1])
    for job in (first, twin):
        jobs.upload_all(database, job)
    call = ask(database, next_node(database), "the same")
    assert [ask(database, next_node(database), "the same") for _ in range(3)] == [None] * 3
    served = [jobs.the_job(database, job).served_tokens for job in (first, twin)]
    assert served == [100, 0]
    with database.write() as connection:
        ledger.withdraw(connection, call)
    assert jobs.the_job(database, first).served_tokens == 0


def test_a_job_of_twice_the_weight_is_served_twice_as_much(database):
    heavy = jobs.submit(database, [60], weight=2.0)
    light = jobs.submit(database, [60])
    turns = [claim(database, 2)[0].job_id for _ in range(12)]
    assert (turns.count(heavy), turns.count(light)) == (8, 4)


def test_the_branch_nearest_to_the_root_is_called_first(database):
    job = jobs.submit(database, [1] * 8, fan_in=2)
    leaves = jobs.upload_all(database, job).leaves
    for leaf in leaves[:6]:
        jobs.finish_node(database, leaf)
    for leaf in leaves[6:]:
        jobs.run_node(database, leaf)
    lower = [next_node(database, NodeKind.BRANCH).first_position]
    for _ in range(2):
        jobs.finish_node(database, next_node(database, NodeKind.BRANCH).id)
    node = next_node(database, NodeKind.BRANCH)
    assert (lower, node.level, node.first_position) == ([1], 2, 1)


def test_a_branch_waits_while_the_account_may_ask_a_leaf_of_its_job(database):
    job = jobs.submit(database, [1] * 4, fan_in=2)
    jobs.upload_all(database, jobs.submit(database, [1]))  # another job's leaf holds nothing
    first, second, third, fourth = jobs.upload_all(database, job).leaves
    jobs.finish_node(database, first)
    jobs.finish_node(database, second)
    assert next_node(database, NodeKind.BRANCH) is None
    jobs.run_node(database, third)
    assert next_node(database, NodeKind.BRANCH) is None
    token = jobs.run_node(database, fourth)
    branch = next_node(database, NodeKind.BRANCH)
    assert (branch.first_position, branch.last_position) == (1, 2)
    with database.write() as connection:  # a leaf that is not due holds nothing either
        state.node_postponed(connection, fourth, token, 60, "later", costs_attempt=False)
    assert next_node(database, NodeKind.BRANCH).id == branch.id


def test_a_unit_is_answered_while_leaves_of_others_wait(database):
    job = jobs.submit(database, [1] * 4, fan_in=2)
    for leaf in jobs.upload_all(database, job).leaves[:2]:
        jobs.finish_node(database, leaf)
    with database.write() as connection:
        connection.execute(update(Node).where(Node.kind == NodeKind.BRANCH).values(unit=1))
    assert next_node(database, NodeKind.BRANCH).first_position == 1


# --- nodes


def test_parallel_workers_claim_a_node_once(database):
    job = jobs.submit(database, [1])
    jobs.upload_all(database, job)
    node = next_node(database)

    def take(number: int) -> bool:
        with database.write() as connection:
            return claims.claim_node(connection, node, jobs.lease(), 10)

    assert sum(jobs.at_once(take, range(16))) == 1
    assert jobs.the_node(database, node.id).attempts == 1


def test_a_node_of_a_job_that_was_paused_meanwhile_is_not_claimed(database):
    job = jobs.submit(database, [1])
    jobs.upload_all(database, job)
    node = next_node(database)
    with database.write() as connection:
        assert state.job_moved(connection, job, JobStatus.PAUSED)
        assert not claims.claim_node(connection, node, jobs.lease(), 10)


def test_a_postponed_node_waits_until_it_is_due(database):
    job = jobs.submit(database, [1])
    (leaf,) = jobs.upload_all(database, job).leaves
    token = jobs.run_node(database, leaf)
    with database.write() as connection:
        state.node_postponed(connection, leaf, token, 60, "later", costs_attempt=False)
    assert jobs.the_node(database, leaf).status == NodeStatus.READY
    assert next_node(database) is None
    with database.write() as connection:
        connection.execute(update(Node).where(Node.id == leaf).values(due_at=0.0))
    assert next_node(database).id == leaf


def test_an_empty_account_pauses_its_own_jobs_and_resumes_them(database):
    mine, other = jobs.submit(database), jobs.submit(database, account="other")
    held = jobs.submit(database)
    with database.write() as connection:
        state.job_moved(connection, held, JobStatus.PAUSED, "by a person")
        assert state.pause_running(connection, jobs.ACCOUNT, "no balance") == 1
        assert state.pause_running(connection, jobs.ACCOUNT, "no balance") == 0
    assert jobs.the_job(database, mine).status == JobStatus.PAUSED
    assert jobs.the_job(database, other).status == JobStatus.RUNNING
    with database.write() as connection:
        assert state.resume_paused(connection, jobs.ACCOUNT, "no balance") == 1
    assert jobs.the_job(database, mine).status == JobStatus.RUNNING
    assert jobs.the_job(database, held).status == JobStatus.PAUSED


def test_waiting_work_is_counted_by_stage(database):
    first = jobs.submit(database, [2, 1], fan_in=2)
    for leaf in jobs.upload_all(database, first).leaves:
        jobs.finish_node(database, leaf)
    jobs.upload_all(database, jobs.submit(database, [1]))
    prepared = jobs.submit(database, [3])
    image = jobs.look(database, Image, prepared)[0]
    with database.write() as connection:
        token = jobs.hold(connection, Image, image.id)
        jobs.record_prepared(connection, image.id, token, Moved())
    with database.read() as connection:
        waiting = claims.waiting_work(connection, jobs.ACCOUNT, 9)
        capped = claims.waiting_work(connection, jobs.ACCOUNT, 1)
    assert waiting == {PREPROCESS: 2, UPLOAD: 1, INFER: 1, AGGREGATE: 1}
    assert set(capped.values()) == {1}


def test_a_node_that_is_not_ready_cannot_be_claimed(database):
    job = jobs.submit(database, [1, 1])
    for node in jobs.look(database, Node, job):
        work = SimpleNamespace(id=node.id, job_id=job)
        with database.write() as connection:
            assert not claims.claim_node(connection, work, jobs.lease(), 1)
