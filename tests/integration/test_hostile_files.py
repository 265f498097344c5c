"""Files that would keep a decoder busy for ever, in a job with others."""

from __future__ import annotations

import itertools
import json
import shutil
import time

import pytest
from sqlalchemy import select, text

from clients.images.decoder import GRACE_SECONDS
from core.errors import RefusalCode, WrongUsage
from core.jobs import JobSpec
from core.states import JobStatus
from models import state
from models.state import Moved
from models.tables import Image
from overstory.output.result import result
from overstory.report.command import write_report
from tasks import submit as submitting
from tests.support import bombs, shell, waiting
from tests.support.account import on_one_database

SECONDS = 1.5
OWN_SECONDS = 30.0
"""For the other job alone, on a busy machine. Before, it waited for ever."""


@pytest.fixture(scope="module")
def slow_to_count():
    """A document whose pages take 5 s of CPU time to count."""
    return bombs.counted_for_long(2_000)


@on_one_database
def test_a_hostile_document_in_each_leaf_costs_nothing_but_itself(
    open_account, make_images, tmp_path
):
    photos = make_images(9)
    for number, photo in enumerate(sorted(photos.iterdir()), start=1):
        if number % 3 == 0:
            shutil.move(photo, tmp_path / photo.name)
            (photos / f"{photo.stem}.pdf").write_bytes(bombs.nested_forms(depth=11 + number // 3))
    account = open_account(images_per_request=3, decode_seconds=SECONDS)
    job = account.submit(photos)
    (row,) = account.ended(job)
    assert row.status == JobStatus.PARTIAL
    images = result(account.services.database, row)["images"]
    failed = [image for image in images if image["status"] == "failed"]
    assert [image["position"] for image in failed] == [3, 6, 9]
    assert {image["error_code"] for image in failed} == {RefusalCode.TOO_SLOW}
    assert all("OVERSTORY_DECODE_SECONDS" in image["error"] for image in failed)
    assert sum(image["status"] == "included" for image in images) == 6


@on_one_database
def test_two_hostile_documents_delay_another_job_by_their_own_limit_and_no_more(
    open_account, make_images, tmp_path
):
    """One thread prepares the images of all jobs, and it meets both documents first."""
    hostile = tmp_path / "hostile"
    hostile.mkdir()
    for number in range(2):
        (hostile / f"{number}.pdf").write_bytes(bombs.nested_forms(depth=12 + number))
    account = open_account(decode_seconds=SECONDS)
    first = account.submit(hostile)
    waiting.eventually(lambda: leased(account, first))
    began = time.monotonic()
    (innocent,) = account.ended(account.submit(make_images(3)))
    waited = time.monotonic() - began
    assert innocent.status == JobStatus.COMPLETED
    assert waited < 2 * (SECONDS + GRACE_SECONDS) + OWN_SECONDS
    assert account.ended(first)[0].status == JobStatus.FAILED


def leased(account, job):
    """Whether a worker holds an image of the job."""
    with account.services.database.read() as connection:
        held = "SELECT count(*) FROM images WHERE job_id = :job AND lease_token IS NOT NULL"
        return connection.execute(text(held), {"job": job}).scalar_one()


@on_one_database
def test_cancelling_a_job_frees_the_worker_that_decodes_its_document(
    open_account, make_images, tmp_path
):
    hostile = tmp_path / "hostile"
    hostile.mkdir()
    (hostile / "a.pdf").write_bytes(bombs.nested_forms())
    account = open_account(decode_seconds=600.0)
    job = account.submit(hostile)
    waiting.eventually(lambda: account.statuses(job) and leased(account, job))
    with account.services.database.write() as connection:
        state.job_cancelled(connection, job, Moved())
    began = time.monotonic()
    account.ended(account.submit(make_images(3)))
    assert time.monotonic() - began < 300.0  # not the ten minutes of the document


# --- OVERSTORY_DECODE_SECONDS holds wherever a document is opened


@on_one_database
def test_a_document_that_cannot_be_counted_in_time_is_one_image(
    open_account, make_images, slow_to_count
):
    photos = make_images(1)
    (photos / "slow.pdf").write_bytes(slow_to_count)
    account = open_account(start=False, decode_seconds=1.0)
    job = account.submit(photos)
    with account.services.database.read() as connection:
        names = connection.execute(select(Image.name).where(Image.job_id == job)).scalars().all()
    assert sorted(names) == ["0000.jpg", "slow.pdf"]  # not slow.pdf[1]


@on_one_database
def test_documents_of_one_folder_hold_a_submission_by_message_no_longer_than_its_limit(
    open_account, make_images, slow_to_count
):
    folder = make_images(1)
    for number in range(9):
        (folder / f"{number:02}.pdf").write_bytes(slow_to_count)
    account = open_account(start=False, decode_seconds=1.0)
    spec = JobSpec(images=[str(folder)], ask="?")
    clock = itertools.count()  # 1 s passes between two documents
    limit = submitting.TimeLimit(2.5, lambda: float(next(clock)))
    with pytest.raises(WrongUsage, match="OVERSTORY_SUBMIT_SECONDS"):
        submitting.submit(account.services, spec, limit=limit)
    assert next(clock) < 6


def test_an_estimate_ends_in_time_and_names_the_document(
    own, monkeypatch, make_images, slow_to_count
):
    monkeypatch.setenv("OVERSTORY_DECODE_SECONDS", "1")
    photos = make_images(1)
    (photos / "slow.pdf").write_bytes(slow_to_count)
    said = shell.say("estimate", str(photos), "--ask", "?", "--json")
    estimated = json.loads(said.stdout)
    ((unusable),) = estimated["unusable"]
    assert unusable["name"] == "slow.pdf"
    assert "more than 1 s (OVERSTORY_DECODE_SECONDS)" in unusable["error"]
    assert estimated["usable"] == 1


@on_one_database
def test_a_report_leaves_out_a_picture_that_takes_too_long(open_account, make_images, tmp_path):
    """Prepared pictures are pruned, and a source was replaced: the report prepares it again."""
    account = open_account(decode_seconds=1.0)
    photos = make_images(2)
    (row,) = account.ended(account.submit(photos))
    settings = account.services.settings
    shutil.rmtree(settings.home / "blobs")
    (settings.home / "blobs").mkdir()
    (photos / "0000.jpg").write_bytes(bombs.nested_forms())
    began = time.monotonic()
    write_report(settings, account.services.database, row, tmp_path / "report.html")
    assert time.monotonic() - began < 30.0  # the setting's default is 60
    data = (tmp_path / "report.html").read_text()
    assert data.count("/9j/") == 1
