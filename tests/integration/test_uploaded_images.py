"""Uploads as images of a job: pages, duplicates, names, and nobody else's."""

from __future__ import annotations

import io
import os
from collections.abc import Callable

import pytest
from PIL import Image as Pillow
from sqlalchemy import text

from clients.uploads import Uploads, open_uploads
from core.errors import InputRefused, RefusalCode, WrongUsage
from core.jobs import JobSpec
from core.settings import load
from core.states import JobStatus
from models import retention, state
from models.reads import inspect
from models.reads.inspect import ImageLine
from models.state import Moved
from overstory.api.caller import Caller
from overstory.api.submissions import with_own_uploads
from overstory.commands.prune import summary
from overstory.report.pictures import pictures
from tasks import image_slices, preprocess
from tasks import submit as submitting
from tasks.upkeep.prune import Pruned
from tasks.upkeep.prune import prune as prune_jobs
from tasks.upkeep.reconciler import Reconciler
from tasks.upkeep.uploads import sweep, sweep_unsubmitted
from tests.support.account import Account, on_one_database
from tests.support.bucket import bucket

__all__ = ["bucket"]

pytestmark = on_one_database
DAY = 86_400.0
ANN, BOB = Caller("ann", is_admin=False), Caller("bob", is_admin=False)


def jpeg(shade: int = 90) -> bytes:
    file = io.BytesIO()
    Pillow.new("RGB", (320, 240), (shade, 120, 60)).save(file, "JPEG")
    return file.getvalue()


def document(pages: int = 3) -> bytes:
    file = io.BytesIO()
    first, *others = [Pillow.new("RGB", (400, 500), (40 * n, 200, 90)) for n in range(pages)]
    first.save(file, "PDF", save_all=True, append_images=others)
    return file.getvalue()


def put(uploads: Uploads, caller: Caller, name: str, data: bytes) -> str:
    return f"upload:{uploads.put(caller.owner, data).sha256}/{name}"


def submit(account: Account, caller: Caller, *images: str, **fields: object) -> str:
    spec = JobSpec(images=list(images), ask="What is there?", **fields)  # type: ignore[arg-type]
    spec = with_own_uploads(spec, caller)
    return submitting.submit(account.services, spec, by_message=True).job_id


def lines(account: Account, job: str) -> list[ImageLine]:
    with account.services.database.read() as connection:
        return inspect.images(connection, job)


@pytest.fixture(params=["folder", "bucket"])
def account(request: pytest.FixtureRequest, open_account: Callable[..., Account]) -> Account:
    if request.param == "folder":
        return open_account(start=False)
    request.getfixturevalue("bucket")
    return open_account(start=False, blob_url="s3://photos/all")


def test_uploads_are_prepared_like_files(account: Account) -> None:
    uploads = account.services.uploads
    images = [
        put(uploads, ANN, "trip/a.jpg", jpeg()),
        put(uploads, ANN, "scan.pdf", document()),
        put(uploads, ANN, "trip/again.jpg", jpeg()),
        put(uploads, ANN, "notes.txt", b"no image"),
    ]
    job = submit(account, ANN, *images)
    while account.statuses(job)["pending"]:
        image_slices.run_slice(account.services, preprocess.STAGE)
    found = lines(account, job)
    names = ["trip/a.jpg", "scan.pdf[1]", "scan.pdf[2]", "scan.pdf[3]", "trip/again.jpg"]
    assert [line.name for line in found] == [*names, "notes.txt"]
    assert [line.page for line in found] == [None, 1, 2, 3, None, None]
    assert [line.duplicate_of for line in found] == [None, None, None, None, 1, None]
    assert [line.error_code for line in found][:5] == [None] * 5
    assert found[5].error_code == RefusalCode.NOT_AN_IMAGE
    assert found[0].location == f"upload:ann/{found[0].source_sha256}"


def test_a_report_draws_an_upload_again_when_its_blob_is_pruned(account: Account) -> None:
    services = account.services
    job = submit(account, ANN, put(services.uploads, ANN, "a.jpg", jpeg()))
    image_slices.run_slice(services, preprocess.STAGE)
    (line,) = lines(account, job)
    services.blobs.drop(line.sha256 or "", 0.0)
    shown = pictures(
        [line], services.blobs, services.uploads, services.settings.image_limits, services.decoder
    )
    assert shown.index_of == {1: 0}


def test_an_upload_that_is_gone_fails_its_image_alone(account: Account) -> None:
    uploads = account.services.uploads
    kept = put(uploads, ANN, "kept.jpg", jpeg(1))
    lost = put(uploads, ANN, "lost.jpg", jpeg(2))
    job = submit(account, ANN, lost, kept)
    gone = next(each for each in uploads.kept(4e9) if each.sha256 in lost)
    assert uploads.drop(gone, 4e9)
    while account.statuses(job)["pending"]:
        image_slices.run_slice(account.services, preprocess.STAGE)
    assert [line.error_code for line in lines(account, job)] == [RefusalCode.MISSING, None]
    with pytest.raises(WrongUsage, match=r"'lost.jpg'\) is not there.*upload the file again"):
        submit(account, ANN, lost)


def test_a_caller_cannot_use_the_upload_of_another(account: Account) -> None:
    anns = put(account.services.uploads, ANN, "a.jpg", jpeg())
    sha256 = anns.removeprefix("upload:").partition("/")[0]
    for named in (anns, f"upload:{sha256}/ann/{sha256}/a.jpg"):
        with pytest.raises(WrongUsage, match="is not there"):
            submit(account, BOB, named)
    for named in (f"upload:ann/{sha256}/a.jpg", f"upload:../ann/{sha256}/a.jpg"):
        with pytest.raises(WrongUsage, match="not an upload of yours"):
            submit(account, BOB, named)
    own = put(account.services.uploads, BOB, "b.jpg", jpeg())
    (spec_image,) = with_own_uploads(JobSpec(images=[own], ask="?"), BOB).images
    assert spec_image == f"upload:bob/{sha256}/b.jpg"


def test_the_same_uploads_with_a_key_are_the_same_job(account: Account) -> None:
    image = put(account.services.uploads, ANN, "a.jpg", jpeg())
    other = put(account.services.uploads, ANN, "b.jpg", jpeg(3))
    job = submit(account, ANN, image, key="k")
    assert submit(account, ANN, image, key="k") == job
    with pytest.raises(WrongUsage, match=r"1 added \(b.jpg\)"):
        submit(account, ANN, image, other, key="k")
    for kept in account.services.uploads.kept(4e9):
        account.services.uploads.drop(kept, 4e9)
    assert submit(account, ANN, image, key="k") == job  # it is named as it was


def test_bytes_of_another_hash_fail_the_image(
    bucket: dict[str, bytes], open_account: Callable[..., Account]
) -> None:
    account = open_account(start=False, blob_url="s3://photos/all")
    image = put(account.services.uploads, ANN, "a.jpg", jpeg())
    (path,) = bucket
    bucket[path] = jpeg(200)  # as a presigned PUT may do
    job = submit(account, ANN, image)
    image_slices.run_slice(account.services, preprocess.STAGE)
    (line,) = lines(account, job)
    assert line.error_code == RefusalCode.CORRUPT
    assert "not that of their name" in (line.error or "")


def test_the_folder_of_uploads_is_no_input(open_account: Callable[..., Account]) -> None:
    settings = load()
    account = open_account(start=False, input_roots=(str(settings.home.parent),))
    open_uploads(None, settings.home).put(ANN.owner, jpeg())
    (path,) = (settings.home / "uploads" / "ann").rglob("*/*")
    for inner in (path, path.parent, path.parent.parent.parent):
        with pytest.raises(InputRefused, match="own state folder"):
            submit(account, ANN, str(inner))


@pytest.mark.slow
def test_a_job_over_uploads_is_answered(open_account: Callable[..., Account]) -> None:
    account = open_account()
    uploads = account.services.uploads
    images = [put(uploads, ANN, f"{n}.jpg", jpeg(10 * n)) for n in range(1, 9)]
    (job,) = account.ended(submit(account, ANN, *images))
    assert job.status is JobStatus.COMPLETED
    assert account.statuses(job.id) == {"included": 8}


# --- retention


def aged(account: Account, seconds: float) -> None:
    """Make all uploads older by so much."""
    for path in (account.services.settings.home / "uploads").glob("*/*/*"):
        at = path.stat().st_mtime - seconds
        os.utime(path, (at, at))


def end(account: Account, job: str, ago: float) -> None:
    with account.services.database.write() as connection:
        state.job_cancelled(connection, job, Moved())
        connection.execute(
            text("UPDATE jobs SET finished_at = finished_at - :ago WHERE id = :job"),
            {"ago": ago, "job": job},
        )


def prune(account: Account, days: float, **options: object) -> Pruned:
    with account.services.database.read() as connection:
        before = retention.cutoff(connection, days * DAY)
    return prune_jobs(account.services, before, **options)  # type: ignore[arg-type]


def kept(account: Account) -> set[str]:
    return {upload.sha256 for upload in account.services.uploads.kept(4e9)}


def sha_of(image: str) -> str:
    return image.removeprefix("upload:").partition("/")[0]


@pytest.fixture
def quiet(open_account: Callable[..., Account]) -> Account:
    return open_account(start=False)


def test_uploads_go_with_the_last_job_that_uses_them(quiet: Account) -> None:
    uploads = quiet.services.uploads
    alone, shared = (put(uploads, ANN, f"{n}.jpg", jpeg(n)) for n in (1, 2))
    old, new = submit(quiet, ANN, alone, shared), submit(quiet, ANN, shared)
    aged(quiet, 200 * DAY)
    end(quiet, old, 100 * DAY)
    would = prune(quiet, 90, dry_run=True)
    pruned = prune(quiet, 90)
    assert (would.uploads, would.upload_bytes) == (pruned.uploads, pruned.upload_bytes)
    assert (pruned.uploads, pruned.upload_bytes) == (1, len(jpeg(1)))
    assert kept(quiet) == {sha_of(shared)}
    end(quiet, new, 100 * DAY)
    assert prune(quiet, 90, label="other").uploads == 0
    assert prune(quiet, 90).uploads == 1
    assert "1 upload, 0.0 MB" in summary(pruned, 0.0, dry_run=False)


def test_with_a_label_only_uploads_of_its_jobs_go(quiet: Account) -> None:
    mine, unused = (put(quiet.services.uploads, ANN, f"{n}.jpg", jpeg(n)) for n in (1, 2))
    job = submit(quiet, ANN, mine, label="shop")
    aged(quiet, 200 * DAY)
    end(quiet, job, 100 * DAY)
    assert prune(quiet, 90, label="shop").uploads == 1
    assert kept(quiet) == {sha_of(unused)}


def test_an_upload_that_was_asked_for_lately_stays(quiet: Account) -> None:
    image = put(quiet.services.uploads, ANN, "a.jpg", jpeg())
    aged(quiet, 2 * DAY)
    quiet.services.uploads.sizes([(ANN.owner, sha_of(image))])
    assert prune(quiet, 1).uploads == 0
    assert sweep_unsubmitted(quiet.services).uploads == 0


def test_what_was_never_submitted_goes_after_a_day(quiet: Account) -> None:
    used, unused = (put(quiet.services.uploads, ANN, f"{n}.jpg", jpeg(n)) for n in (1, 2))
    submit(quiet, ANN, used)
    aged(quiet, 0.9 * DAY)
    reconciler = Reconciler(quiet.services)
    reconciler._tidy()
    assert kept(quiet) == {sha_of(used), sha_of(unused)}
    aged(quiet, 0.2 * DAY)
    reconciler._tidy()  # not yet: it looks once an hour
    assert len(kept(quiet)) == 2
    reconciler.next_sweep = 0.0
    reconciler._tidy()
    assert kept(quiet) == {sha_of(used)}
    assert prune(quiet, 90).uploads == 0


def test_prune_of_a_bucket(bucket: dict[str, bytes], open_account: Callable[..., Account]) -> None:
    account = open_account(start=False, blob_url="s3://photos/all")
    used, unused = (put(account.services.uploads, ANN, f"{n}.jpg", jpeg(n)) for n in (1, 2))
    submit(account, ANN, used)
    assert sweep(account.services, 4e9).uploads == 1  # its objects are as old as the stand-in says
    assert [path.rpartition("/")[2] for path in bucket] == [sha_of(used)]
    assert sha_of(unused) != sha_of(used)
