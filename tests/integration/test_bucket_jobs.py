"""Objects of people's buckets as images of a job."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from PIL import Image as Pillow

from clients import objects
from core.errors import InputRefused, RefusalCode
from core.jobs import JobSpec
from core.outcomes import Outcome, Retry
from models.claims import ImageWork
from models.reads import inspect
from models.reads.inspect import ImageLine
from models.state import PreparedImage
from overstory.forecasting import context_of, learned_of, measure
from overstory.local.price import HEADER_BYTES
from overstory.report.pictures import pictures
from tasks import image_slices, preprocess
from tasks import submit as submitting
from tasks.runtime.services import Services
from tests.support.account import Account, on_one_database
from tests.support.bucket import People, bucket, people

__all__ = ["bucket", "people"]

pytestmark = on_one_database
READ = ("a.jpg", "b.jpg", "empty.jpg", "large.png")


def jpeg(shade: int = 90) -> bytes:
    file = io.BytesIO()
    Pillow.new("RGB", (320, 240), (shade, 120, 60)).save(file, "JPEG")
    return file.getvalue()


def document(pages: int = 3) -> bytes:
    file = io.BytesIO()
    first, *others = [Pillow.new("RGB", (400, 500), (40 * n, 200, 90)) for n in range(pages)]
    first.save(file, "PDF", save_all=True, append_images=others)
    return file.getvalue()


def submit(account: Account, *images: str) -> str:
    spec = JobSpec(images=list(images), ask="What is there?")
    return submitting.submit(account.services, spec, natural=True).job_id


def prepare(account: Account, job: str) -> list[ImageLine]:
    while account.statuses(job)["pending"]:
        image_slices.run_slice(account.services, preprocess.STAGE)
    with account.services.database.read() as connection:
        return inspect.images(connection, job)


@pytest.fixture
def account(people: People, open_account: Callable[..., Account]) -> Account:
    people.objects |= {
        "/pics/t/a.jpg": jpeg(1),
        "/pics/t/b.jpg": jpeg(2),
        "/pics/t/doc.pdf": document(2),
        "/pics/t/empty.jpg": b"",
    }
    return open_account(start=False)


def test_a_job_reads_each_object_once_and_the_same_command_nothing(
    account: Account, people: People
) -> None:
    job = submit(account, "s3://pics/t/")
    reads = [asked for asked in people.asked if "list-type" not in asked and "t/" in asked]
    assert reads == ["GET /pics/t/doc.pdf"]  # for the number of its pages
    found = prepare(account, job)
    assert [line.name for line in found] == [
        "a.jpg",
        "b.jpg",
        "doc.pdf[1]",
        "doc.pdf[2]",
        "empty.jpg",
    ]
    assert [line.error_code for line in found] == [*[None] * 4, RefusalCode.EMPTY]
    assert people.asked.count("GET /pics/t/doc.pdf") == 1
    people.asked.clear()
    assert submit(account, "s3://pics/t/") == job
    assert all("list-type" in asked or asked.startswith("HEAD") for asked in people.asked)


def test_a_changed_object_alone_is_prepared_again(account: Account, people: People) -> None:
    prepare(account, submit(account, "s3://pics/t/"))
    people.objects["/pics/t/b.jpg"] = jpeg(77)
    people.objects["/pics/t/a.jpg"] = jpeg(1)  # written again, with the same bytes
    people.asked.clear()
    spec = JobSpec(images=["s3://pics/t/"], ask="Another question?")
    again = submitting.submit(account.services, spec, natural=True).job_id
    prepare(account, again)
    read = {asked for asked in people.asked if "list-type" not in asked}
    assert read - {"GET /pics/t/empty.jpg"} == {"GET /pics/t/b.jpg"}


def test_an_object_that_changes_after_planning_fails_alone(
    account: Account, people: People
) -> None:
    job = submit(account, "s3://pics/t/a.jpg", "s3://pics/t/b.jpg")
    people.objects["/pics/t/b.jpg"] = jpeg(9)
    _, changed = prepare(account, job)
    assert changed.error_code == RefusalCode.CHANGED
    assert changed.error == "the object changed since the job was planned: run the command again"
    del people.objects["/pics/t/a.jpg"]
    job = submit(account, "s3://pics/t/b.jpg", "s3://pics/t/doc.pdf")
    assert submit(account, "s3://pics/t/doc.pdf", "s3://pics/t/b.jpg") != job


def test_a_message_names_only_buckets_of_the_roots(
    people: People, open_account: Callable[..., Account]
) -> None:
    people.objects["/pics/t/a.jpg"] = jpeg()
    account = open_account(start=False, input_roots="/srv:s3://pics/t")
    for image in ("s3://pics/", "s3://pics/t2/a.jpg", "s3://other/t/a.jpg", "/etc/passwd"):
        spec = JobSpec(images=[image], ask="What is there?")
        with pytest.raises(InputRefused, match="OVERSTORY_INPUT_ROOTS"):
            submitting.submit(account.services, spec, by_message=True)
    assert people.asked == []
    spec = JobSpec(images=["s3://pics/t/"], ask="What is there?")
    assert submitting.submit(account.services, spec, by_message=True).created


def test_a_failure_that_may_pass_costs_an_attempt(
    account: Account, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(account, "s3://pics/t/a.jpg")
    objects._bucket.cache_clear()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    outcomes: list[Outcome[PreparedImage]] = []

    def work(services: Services, images: Sequence[ImageWork]) -> list[Outcome[PreparedImage]]:
        outcomes.extend(preprocess.work(services, images))
        return outcomes

    image_slices.run_slice(account.services, replace(preprocess.STAGE, work=work))
    (outcome,) = outcomes
    assert isinstance(outcome, Retry)
    assert "does not answer" in outcome.reason


def test_a_report_reads_an_object_again_when_its_blob_is_pruned(account: Account) -> None:
    services = account.services
    (line,) = prepare(account, submit(account, "s3://pics/t/a.jpg"))
    services.blobs.drop(line.sha256 or "", 0.0)
    shown = pictures(
        [line], services.blobs, services.uploads, services.settings.image_limits, services.decoder
    )
    assert shown.index_of == {1: 0}


def test_an_estimate_reads_only_first_bytes(account: Account, people: People) -> None:
    large = io.BytesIO()
    Pillow.effect_noise((900, 900), 90).save(large, "PNG")
    people.objects["/pics/t/large.png"] = large.getvalue()
    assert len(large.getvalue()) > HEADER_BYTES
    settings = account.services.settings
    spec = JobSpec(images=["s3://pics/t/"], ask="What is there?")
    measured = measure(settings, spec, context_of(settings, spec, learned_of(settings, spec)))
    assert measured.unusable == [("empty.jpg", "the object is empty")]
    assert measured.submitted == len(measured.tokens) == 6
    assert measured.images == 5
    read = [asked for asked in people.asked if asked.startswith("GET") and "list-type" not in asked]
    whole = ["GET /pics/t/doc.pdf"]  # for the number of its pages
    first = [f"GET /pics/t/{name} bytes=0-{HEADER_BYTES - 1}" for name in READ]
    assert sorted(read) == sorted([*whole, *first])
