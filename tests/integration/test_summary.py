"""The lines under an answer."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from sqlalchemy import update

from clients.blobs import open_blobs
from clients.images.decoder import Decoder
from clients.uploads import open_uploads
from core.errors import RefusalCode, RequestPart
from core.images.sizing import DecoderLimits
from core.settings import load
from core.states import JobStatus
from models import endpoint_limits, state
from models.engine import Database
from models.reads import pipeline
from models.state import Moved
from models.tables import EndpointLimit, Image
from overstory.output.learned import settled_limits
from overstory.output.summary import print_summary
from overstory.report.data import report_data
from tests.support import jobs

EACH = "each by a line of its own"


def summary(database: Database, job: str) -> list[str]:
    console = Console(file=io.StringIO(), width=200)
    with database.read() as connection:
        row = pipeline.job(connection, job)
    assert row is not None
    print_summary(console, database, row)
    told: io.StringIO = console.file  # type: ignore[assignment]
    return told.getvalue().strip().splitlines()


def answered(database: Database, images: int, **options: Any) -> str:
    job = jobs.submit(database, [images], **options)
    jobs.finish_all(database, jobs.upload_all(database, job))
    return job


def test_a_summary_warns_of_images_that_were_only_sent(database: Database) -> None:
    job = answered(database, 4)
    jobs.prove(database, job, "line", 1, 2)
    jobs.prove(database, job, "answer", 3)
    first, _, warning = summary(database, job)
    ways = "1 by an answer of its own, 2 by a line of their own, 1 only sent"
    assert f"4 included ({ways});" in first
    shows = "nothing shows that the model saw it"
    assert warning == f"1 image was only sent: {shows} ('overstory images {job} --unseen')"


@pytest.mark.parametrize("reason", [None, "on request", "no balance", "budget: 0.4 of 0.50 USD"])
def test_a_job_that_has_not_ended_says_how_many_images_are_left(
    database: Database, reason: str | None
) -> None:
    job = jobs.submit(database, [2, 3], duplicates=1)
    if reason is not None:
        with database.write() as connection:
            assert state.job_moved(connection, job, JobStatus.PAUSED, reason)
    assert "6 images submitted, 1 duplicate, 5 not looked at yet;" in summary(database, job)[0]


def test_a_job_that_has_ended_has_nothing_left(database: Database) -> None:
    assert "not looked at" not in summary(database, answered(database, 2))[0]
    job = jobs.submit(database, [2])
    with database.write() as connection:
        assert state.job_cancelled(connection, job, state.Moved())
    assert "2 skipped" in summary(database, job)[0]
    assert "not looked at" not in summary(database, job)[0]


def test_a_report_without_an_answer_calls_no_image_part_of_it(
    database: Database, tmp_path: Path
) -> None:
    blobs = open_blobs(None, tmp_path)
    uploads = open_uploads(None, tmp_path)
    limits = load(home=tmp_path).image_limits
    job = jobs.submit(database, [2, 2])
    moved = jobs.upload_all(database, job)
    after = jobs.finish_node(database, moved.leaves[0])
    assert after.ended == []

    def value() -> dict[str, Any]:
        with database.read() as connection:
            row = pipeline.job(connection, job)
        assert row is not None
        return report_data(database, row, blobs, uploads, limits, Decoder(DecoderLimits()), 0.0)

    running = value()
    assert (running["answer"], running["coverage"]["included"]) == (None, 2)
    assert running["included_as"] == "looked at"
    jobs.finish_all(database, jobs.Moved(leaves=moved.leaves[1:]))
    assert value()["included_as"] == "in the answer"


def test_a_bare_job_is_not_warned_of_what_it_asked_for(database: Database) -> None:
    lines = summary(database, answered(database, 2, bare=True))
    assert "2 included, only sent;" in lines[0]
    assert len(lines) == 2


def test_each_remark_is_told_once_for_all_images_that_share_one(database: Database) -> None:
    job = jobs.submit(database, [6])
    told = {1: "first of 12 frames", 2: "padded from 9 x 9", 3: None, 4: "padded from 10 x 9.5"}
    told |= {5: "padded from 9 x 9", 6: "lost"}
    with database.write() as connection:
        for row in jobs.rows(connection, Image, job):
            token = jobs.hold(connection, Image, row.id)
            made = jobs.prepared(f"sha-{row.id}", told[row.position])
            state.images_prepared(connection, token, {row.id: made}, Moved())
            if row.position == 6:
                jobs.fail_image(connection, row.id, RefusalCode.BLOCKED, "no", Moved())
    with database.read() as connection:
        images = pipeline.images(connection, job)
    names = {image.position: image.name for image in images}
    assert {image.position: image.remarks for image in images} == told
    assert summary(database, job)[-3:] == [
        f"  [1] {names[1]}: first of 12 frames",
        f"  [2] {names[2]} and 2 others: padded from 9 x 9",
        f"  [6] {names[6]}: no",
    ]


def test_limits_that_were_learned_during_the_job_are_reported(database: Database) -> None:
    with database.write() as connection:
        endpoint_limits.learn(connection, "e", "m", RequestPart.TOKENS, 9_000, True, "old")
        connection.execute(update(EndpointLimit).values(learned_at=EndpointLimit.learned_at - 9))
    job = answered(database, 1, bare=True)
    with database.write() as connection:
        endpoint_limits.learn(connection, "e", "m", RequestPart.IMAGES, 5, True, "at most\n5")
        endpoint_limits.learn(connection, "e", "other", RequestPart.IMAGES, 5, True, "at most 5")
    _, _, *limits = summary(database, job)
    limit = "m takes at most 5 images in one request"
    assert limits == [f"{limit} (the endpoint said so: at most 5)"]


def test_a_limit_that_is_being_halved_is_not_reported_while_the_job_runs(
    database: Database,
) -> None:
    job = jobs.submit(database, [1])
    with database.write() as connection:
        row = pipeline.job(connection, job)
        assert row is not None
        endpoint_limits.learn(connection, "e", "m", RequestPart.IMAGES, 30, False, "too many")
        assert settled_limits(connection, row) == []
        endpoint_limits.proven(connection, "e", "m")
        assert "at most 30 images" in settled_limits(connection, row)[0]


@pytest.mark.parametrize(
    ("leaves", "duplicates", "said"),
    [
        ([1], 0, "1 image submitted, 1 included, by a line of its own;"),
        ([3], 1, f"4 images submitted, 3 included, {EACH}, 1 duplicate;"),
        ([2, 2], 0, f"4 images submitted, 4 included, {EACH}; tree of 2 leaves, 3 nodes;"),
    ],
)
def test_a_summary_does_not_call_a_plan_a_request(
    database: Database, leaves: list[int], duplicates: int, said: str
) -> None:
    job = jobs.submit(database, leaves, duplicates=duplicates)
    jobs.finish_all(database, jobs.upload_all(database, job))
    jobs.prove(database, job, "line", *range(1, sum(leaves) + 1))
    first, second = summary(database, job)
    assert first == f"job {job} completed: {said}"
    assert second == "0 requests sent, 0 tokens, 0.0000 USD"
