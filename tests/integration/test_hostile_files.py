"""Files that would keep a decoder busy for ever, in a job with others."""

from __future__ import annotations

import shutil
import time

import pytest
from sqlalchemy import text

from core.errors import RefusalCode
from core.states import JobStatus
from models import state
from models.state import Moved
from overstory.output.result import result
from tests.support import bombs, waiting

SECONDS = 1.5


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


def leased(account, job):
    """Whether a worker holds an image of the job."""
    with account.services.database.read() as connection:
        held = "SELECT count(*) FROM images WHERE job_id = :job AND lease_token IS NOT NULL"
        return connection.execute(text(held), {"job": job}).scalar_one()


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
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
