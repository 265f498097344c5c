"""Images of an earlier job that a new job does not prepare again."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import update

from core.job_options import JobOptions
from core.states import JobStatus
from core.tree.plan import plan_tree
from models import new_job
from models.engine import Database
from models.new_job import NewImage, NewJob
from models.reads import lineage
from models.tables import Image, Job

FOUND = [(f"{n}.jpg", f"/photos/{n}.jpg") for n in range(4)]

Submit = Callable[..., None]
Alike = Callable[[str, str], bool]


@pytest.fixture
def submit(database: Database) -> Submit:
    """``submit("one", prepared=2)``: a job over FOUND with that many of its images prepared."""

    def make(
        name: str, prepared: int, status: str = JobStatus.COMPLETED, detail: str = "low"
    ) -> None:
        images = [NewImage(*found, None, None, 10, None, 0, changed_ns=7) for found in FOUND]
        job = NewJob(
            id=name, key=name, ask=name, label=None, model="m", provider="stepfun", endpoint="e",
            account="a", detail=detail, weight=1.0, options=JobOptions(),
        )  # fmt: skip
        with database.write() as connection:
            assert new_job.insert_job(connection, job, images, plan_tree(1, 8))
            connection.execute(update(Job).where(Job.id == name).values(status=status))
            connection.execute(
                update(Image)
                .where(Image.job_id == name, Image.position <= prepared)
                .values(sha256=f"of {name}", prepared_bytes=5, tokens=171)
            )

    return make


def alike(model: str, endpoint: str) -> bool:
    return True


def found(
    database: Database, detail: str = "low", names: int = 4, is_alike: Alike = alike
) -> dict[str, str | None]:
    """Location -> hash of the images known to be prepared."""
    with database.read() as connection:
        known = lineage.prepared(connection, detail, FOUND[:names], is_alike)
    assert all((page, size, changed) == (None, 10, 7) for _, page, size, changed, _ in known)
    return {location: image.sha256 for (location, *_), image in known.items()}


def test_the_newest_answered_job_with_prepared_images_is_used(database, submit: Submit):
    assert found(database) == {}
    submit("old", 4)
    submit("new", 3)
    submit("finer", 4, detail="high")
    submit("begun", 0, JobStatus.RUNNING)
    submit("running", 4, JobStatus.RUNNING)
    assert found(database) == {location: "of new" for _, location in FOUND[:3]}
    assert found(database, names=1) == {"/photos/0.jpg": "of new"}
    assert set(found(database, "high").values()) == {"of finer"}


def test_an_image_is_not_taken_from_a_model_that_gets_it_in_another_size(database, submit: Submit):
    submit("old", 4)
    assert found(database, is_alike=lambda model, endpoint: (model, endpoint) == ("m", "e"))
    assert not found(database, is_alike=lambda model, endpoint: model != "m")


def test_without_an_answered_job_an_unanswered_one_is_used(database, submit: Submit):
    submit("cancelled", 2, JobStatus.CANCELLED)
    assert found(database) == {location: "of cancelled" for _, location in FOUND[:2]}


def test_a_url_or_a_file_with_the_same_name_elsewhere_does_not_match(database, submit: Submit):
    submit("one", 4)
    with database.write() as connection:
        connection.execute(
            update(Image).where(Image.position == 1).values(location="/elsewhere/0.jpg")
        )
        connection.execute(update(Image).where(Image.position == 2).values(changed_ns=None))
    assert set(found(database)) == {"/elsewhere/0.jpg", "/photos/2.jpg", "/photos/3.jpg"}
