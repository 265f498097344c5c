"""The queries behind reports and lists, on both databases."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import insert, select, update

from core.account.pace import Work
from core.errors import RefusalCode
from core.job_options import JobOptions
from core.reply import Reply, Usage
from core.states import CallStatus, ImageStatus, JobStatus, NodeKind, NodeStatus
from models import ledger, state
from models.engine import Database
from models.ledger import NewCall
from models.reads import inspect, parts, pipeline
from models.state import Moved
from models.tables import Call, Event, Image, Job, Node
from tests.support import jobs

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "integer"}}}


def paid(database: Database, job: str, node: int, images: int, tokens: int = 50) -> None:
    new = NewCall(f"key-{node}-{tokens}", job, node, jobs.ACCOUNT, "m", images, 1_000, "USD")
    reply = Reply("words", "", "stop", Usage(100, 20, tokens), "trace", "m")
    with database.write() as connection:
        call = ledger.open_call(connection, new, jobs.lease())
        assert call is not None
        ledger.settle(connection, call, reply, 0.5)


@pytest.fixture
def answered(database: Database) -> str:
    """A job of two leaves and a duplicate, answered."""
    job = jobs.submit(database, (2, 1), duplicates=1)
    jobs.finish_all(database, jobs.upload_all(database, job))
    for node in jobs.look(database, Node, job):
        paid(database, job, node.id, node.images)
    return job


def test_a_job_is_listed_with_its_counts_and_cost(database: Database, answered: str) -> None:
    other = jobs.submit(database, (1,))
    with database.read() as connection:
        found = {job.id: job for job in inspect.jobs(connection)}
        one = inspect.job_line(connection, answered)
    assert set(found) == {answered, other}
    assert found[answered] == one
    assert (one.status, one.submitted, one.included, one.failed) == (JobStatus.COMPLETED, 4, 3, 0)
    assert (one.requests, one.cost, one.currency) == (3, 1.5, "USD")
    assert found[other].requests == 0
    assert found[other].seconds >= 0


def test_jobs_are_filtered_by_status_and_label_and_limited(
    database: Database, answered: str
) -> None:
    running = jobs.submit(database, (1,))
    with database.read() as connection:
        assert [j.id for j in inspect.jobs(connection, ["running"])] == [running]
        assert [j.id for j in inspect.jobs(connection, ["completed"])] == [answered]
        assert inspect.jobs(connection, label="none") == []
        assert [j.id for j in inspect.jobs(connection, limit=1)] == [running]


def test_ids_are_found_by_a_literal_prefix(database: Database, answered: str) -> None:
    with database.read() as connection:
        assert inspect.job_ids(connection, answered[:4])[0][1] == "?"
        assert inspect.job_ids(connection, "%") == []


def test_images_are_listed_in_order_and_by_status(database: Database, answered: str) -> None:
    with database.read() as connection:
        images = inspect.images(connection, answered)
        twins = inspect.images(connection, answered, ["duplicate"])
    assert [image.position for image in images] == [1, 2, 3, 4]
    assert [image.duplicate_of for image in twins] == [1]
    assert twins[0].status == ImageStatus.DUPLICATE


def test_an_included_image_without_a_proof_was_only_sent(database: Database, answered: str) -> None:
    jobs.prove(database, answered, "line", 1)
    jobs.prove(database, answered, "answer", 3, 4)  # 4 is a duplicate
    with database.read() as connection:
        counts = pipeline.seen(connection, answered)
        rows = pipeline.images(connection, answered)
        lines = inspect.images(connection, answered)
        unseen = inspect.images(connection, answered, unseen=True)
    assert counts == {"answer": 1, "line": 1, "sent": 1}
    assert [row.seen for row in rows] == ["line", "sent", "answer", None]
    assert [row.note for row in rows][:2] == ["a red barn [1]", None]
    assert [(line.seen, line.note) for line in lines] == [(row.seen, row.note) for row in rows]
    assert [line.position for line in unseen] == [2]


def test_counts_by_proof_always_add_up_to_the_included_images(database: Database) -> None:
    job = jobs.submit(database, (2,))
    with database.read() as connection:
        assert pipeline.seen(connection, job) == {"answer": 0, "line": 0, "sent": 0}
    jobs.finish_all(database, jobs.upload_all(database, job))
    jobs.prove(database, job, "sent", 1)
    with database.read() as connection:
        assert pipeline.seen(connection, job) == {"answer": 0, "line": 0, "sent": 2}
        assert state.coverage(connection, job)["included"] == 2


def test_an_image_that_failed_as_unseen_is_listed_with_those_only_sent(database: Database) -> None:
    job = jobs.submit(database, (3,))
    with database.write() as connection:
        first, second, _ = jobs.rows(connection, jobs.Image, job)
        jobs.fail_image(connection, first.id, RefusalCode.UNSEEN, "no line", Moved())
        jobs.fail_image(connection, second.id, RefusalCode.CORRUPT, "cut short", Moved())
    jobs.finish_all(database, jobs.upload_all(database, job))
    with database.read() as connection:
        assert [i.position for i in inspect.images(connection, job, unseen=True)] == [1, 3]
        failed = inspect.images(connection, job, ["failed"], unseen=True)
    assert [image.position for image in failed] == [1]


def test_nodes_are_listed_root_first_with_the_sums_of_their_calls(
    database: Database, answered: str
) -> None:
    with database.read() as connection:
        root, *leaves = inspect.nodes(connection, answered)
        levels = inspect.levels(connection, answered)
    assert (root.parent_id, root.kind) == (None, NodeKind.BRANCH)
    assert [leaf.parent_id for leaf in leaves] == [root.id] * 2
    assert [(n.requests, n.tokens, n.cost) for n in (root, *leaves)] == [(1, 150, 0.5)] * 3
    assert levels == [[NodeStatus.DONE] * 2, [NodeStatus.DONE]]


def test_a_split_node_is_not_part_of_the_tree(database: Database) -> None:
    job = jobs.submit(database, (4,))
    moved = jobs.upload_all(database, job)
    token = jobs.run_node(database, moved.leaves[0])
    images = [row.id for row in jobs.look(database, jobs.Image, job)]
    with database.write() as connection:
        assert state.split_leaf(
            connection, moved.leaves[0], token, [images[:2], images[2:]], Moved()
        )
    with database.read() as connection:
        nodes = inspect.nodes(connection, job)
        split = connection.execute(select(Node.id).where(Node.status == NodeStatus.SPLIT)).scalar()
    assert split not in {node.id for node in nodes}
    assert sum(node.kind == NodeKind.LEAF for node in nodes) == 2


def test_calls_are_listed_and_failed_ones_can_be_filtered(
    database: Database, answered: str
) -> None:
    root = jobs.root_of(database, answered)
    with database.write() as connection:
        new = NewCall("bad", answered, root, jobs.ACCOUNT, "m", 3, 10, "USD")
        call = ledger.open_call(connection, new, jobs.lease())
        assert call is not None
        ledger.close(connection, call, CallStatus.REFUSED, "blocked", 451)
    with database.read() as connection:
        found = inspect.calls(connection, answered)
        failed = inspect.calls(connection, answered, failed=True)
        past = inspect.past_calls(connection, "m", "e")
        strange = inspect.past_calls(connection, "m", "elsewhere")
    assert len(found) == 4
    assert [(c.kind, c.http_status, c.error) for c in failed] == [(NodeKind.BRANCH, 451, "blocked")]
    assert sorted((c.kind, c.images, c.completion_tokens) for c in past) == [
        (NodeKind.BRANCH, 3, 50), (NodeKind.LEAF, 1, 50), (NodeKind.LEAF, 2, 50),
    ]  # fmt: skip
    assert strange == []
    with database.write() as connection:
        options = JobOptions(each="What is it?", schema=json.dumps(SCHEMA))
        connection.execute(update(Job).where(Job.id == answered).values(options=options))
        leaf = connection.execute(select(Node.id).where(Node.kind == NodeKind.LEAF)).scalars()
        connection.execute(
            update(Call).where(Call.status == "settled").values(node_id=leaf.first())
        )
        past = inspect.past_calls(connection, "m", "e")
    assert [(c.values, c.again) for c in past] == [(2, True), (2, True), (2, False)]


def test_moments_are_counted_in_parts_of_the_time(database: Database, answered: str) -> None:
    with database.read() as connection:
        job = pipeline.job(connection, answered)
        assert job is not None
        moments = parts.moments(connection, answered, job.created_at - 1.0, 1_000.0, 10)
        outside = parts.moments(connection, answered, job.created_at - 9_000.0, 1_000.0, 10)
    count = {(m.name, m.kind): m.count for m in moments}
    assert count["image.prepared", None] == count["image.included", None] == 3
    assert count["node.done", NodeKind.BRANCH] == 1
    assert {m.part for m in moments} == {0}
    assert all(job.created_at - 1.0 < m.first <= m.last for m in moments)
    assert {m.part for m in outside} == {9}


def test_the_reason_of_waiting_uploads_is_shown(database: Database) -> None:
    job = jobs.submit(database, (1,))
    with database.write() as connection:
        (image,) = jobs.rows(connection, jobs.Image, job)
        token = jobs.hold(connection, jobs.Image, image.id)
        assert jobs.record_prepared(connection, image.id, token, Moved())
        assert pipeline.upload_waits_for(connection, job) is None
        token = jobs.hold(connection, jobs.Image, image.id)
        state.images_postponed(connection, [image.id], token, 2.0, "the file store is full", False)
        assert pipeline.upload_waits_for(connection, job) == "the file store is full"


@pytest.mark.parametrize(
    ("moves", "took"),
    [
        ([], 100.0),
        ([JobStatus.PAUSED], 100.0),
        ([JobStatus.PAUSED, JobStatus.RUNNING], 200.0),
        ([JobStatus.PAUSED, JobStatus.RUNNING, JobStatus.PAUSED], 200.0),
        ([JobStatus.PAUSED, JobStatus.FAILED], 100.0),  # cancelled while it was paused
        ([JobStatus.PARTIAL], 100.0),
        ([JobStatus.PARTIAL, JobStatus.RUNNING], 200.0),  # retried long after its end
        ([JobStatus.PARTIAL, JobStatus.RUNNING, JobStatus.COMPLETED], 200.0),
    ],
)
def test_the_time_of_a_job_is_that_in_which_it_was_not_paused_or_ended(database, moves, took):
    """A job moves every 100 s."""
    job = jobs.submit(database)
    with database.write() as connection:
        for to in [None, *moves]:
            if to:
                assert state.job_moved(connection, job, to, "on request")
            times = (Job.created_at, Job.finished_at, Job.idle_since)
            connection.execute(update(Job).values({time: time - 100.0 for time in times}))
    with database.read() as connection:
        [line] = inspect.jobs(connection)
        assert line.seconds == pytest.approx(took, abs=3.0)
        assert inspect.job_line(connection, job).seconds == pytest.approx(took, abs=3.0)


def test_images_that_are_not_prepared_count_as_those_that_are(database):
    job = jobs.submit(database, [2, 2])
    with database.write() as connection:
        first = jobs.rows(connection, Image, job)[0]
        connection.execute(update(Image).where(Image.id == first.id).values(tokens=1_000))
        assert [node.image_tokens for node in inspect.open_nodes(connection, job, None, 171)] == [
            *(2_000, 2_000, 0)
        ]
        assert [node.image_tokens for node in inspect.open_nodes(connection, job, 10.0, 171)] == [
            *(1_010, 20, 0)
        ]


def test_past_runs_are_the_jobs_that_prepared_images_without_a_pause(database):
    job, paused, running = (jobs.submit(database, [2, 1]) for _ in range(3))
    for each in (job, paused, running):
        moved = jobs.upload_all(database, each)
        if each is not running:
            jobs.finish_all(database, moved)
    jobs.finish_all(database, jobs.upload_all(database, jobs.submit(database, [1])))
    with database.write() as connection:
        connection.execute(update(Image).values(bytes=1_000, page=None))
        connection.execute(update(Image).where(Image.position == 3).values(page=1))
        begun = Event.name == "job.running"
        began = connection.execute(select(Event.at).where(Event.job_id == job, begun)).scalar_one()
        for name, at in (("image.prepared", 3.0), ("image.uploaded", 5.0)):
            of_job = (Event.job_id == job, Event.name == name)
            later = began + at + (Image.position - 1) * 2.0
            moment = select(later).where(Image.id == Event.image_id).scalar_subquery()
            connection.execute(update(Event).where(*of_job).values(at=moment))
        twice = {"at": began, "job_id": paused, "name": "job.running"}
        connection.execute(insert(Event).values(**twice))
    with database.read() as connection:
        runs = inspect.past_runs(connection, "e")
        assert inspect.past_runs(connection, "elsewhere") == []
    assert len(runs) == 2
    [run] = [run for run in runs if run.work.images == 3]
    assert run.work == Work(2, 2_000, 1)
    prepared = (run.first_prepared, run.half_prepared, run.prepared)
    assert prepared == pytest.approx((3.0, 5.0, 7.0))
    assert (run.first_uploaded, run.last_uploaded) == pytest.approx((5.0, 9.0))
    assert run.uploaded == 3
