"""Images that a reply marks as unclear are looked at twice, a bounded share of them, and none
becomes worse by it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Picture
from sqlalchemy import text

from core.requests.review import Accepted, LeafImages
from core.states import NodeKind, Seen
from models import claims, state
from models.claims import Lease
from models.reads import pipeline
from models.reads.pipeline import ImageRow
from models.state import Moved
from tasks import infer
from tasks.calls.node_request import record
from tasks.calls.run import run
from tests.support.account import Account, prepare_and_upload

COLOUR = {"type": "object", "properties": {"colour": {"type": "string"}}, "required": ["colour"]}


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Eight large pictures: the even ones are too dim to be told at low detail."""
    folder = tmp_path / "files"
    folder.mkdir()
    for number in range(1, 9):
        colour = (60 + number, 0, 0) if number % 2 == 0 else (255, 200 + number, 200)
        picture = Picture.new("RGB", (1400, 1400), colour)
        picture.save(folder / f"{number}.png", compress_level=1)
    return folder


def rows(account: Account, job: str) -> list[ImageRow]:
    with account.services.database.read() as connection:
        return pipeline.images(connection, job)


def models_called(account: Account, job: str) -> set[tuple[str, int]]:
    query = "SELECT model, images FROM calls WHERE job_id = :job AND images > 0"
    with account.services.database.read() as connection:
        return {(r.model, r.images) for r in connection.execute(text(query), {"job": job})}


@pytest.mark.parametrize(
    "asked",
    [
        {"ask": "Which colours?"},
        {"ask": None, "each": "Which colour?"},
        {"ask": None, "each": "Which colour?", "schema": COLOUR},
    ],
    ids=["notes", "texts", "records"],
)
def test_unclear_images_are_looked_at_again_at_high(
    open_account: Callable[..., Account], pictures: Path, asked: dict[str, Any]
) -> None:
    account = open_account()
    job = account.submit(pictures, detail="auto", second_look=1.0, **asked)
    (ended,) = account.ended(job)
    assert ended.status == "completed", ended.reason
    images = rows(account, job)
    assert [image.look for image in images] == [1, 2] * 4
    assert [image.unclear for image in images] == [None] * 8
    said = [str(image.answer or image.note) for image in images]
    assert not any("grey" in line or "hard to tell" in line for line in said), said
    assert "hard to tell" not in (ended.answer or "")


def test_one_request_for_all_images_is_answered_after_the_second_look(
    open_account: Callable[..., Account], pictures: Path
) -> None:
    account = open_account(images_per_request=60)
    job = account.submit(pictures, detail="auto", second_look=0.25)
    (ended,) = account.ended(job)
    assert ended.status == "completed", ended.reason
    images = rows(account, job)
    assert [image.position for image in images if image.look == 2] == [2, 4]
    assert [image.position for image in images if image.unclear is not None] == [6, 8]


def test_a_second_model_looks_at_the_unclear_images_alone(
    open_account: Callable[..., Account], pictures: Path
) -> None:
    account = open_account(images_per_request=60)
    job = account.submit(pictures, second_model="step-5-preview", second_look=1.0)
    (ended,) = account.ended(job)
    assert ended.status == "completed", ended.reason
    assert models_called(account, job) == {("step-3.7-flash", 8), ("step-5-preview", 4)}
    assert all(image.unclear is None for image in rows(account, job))


def test_a_model_whose_tokens_nobody_knows_is_asked_once_a_look(
    open_account: Callable[..., Account], pictures: Path
) -> None:
    """Few large images take more tokens than many small ones did, which is no sign of blindness."""
    account = open_account(images_per_request=60)
    account.sandbox.configure(also_serves="my-vl")
    job = account.submit(pictures, model="my-vl", detail="auto", second_look=1.0)
    (ended,) = account.ended(job)
    assert ended.status == "completed", ended.reason
    query = "SELECT images FROM calls WHERE job_id = :job AND images > 0 ORDER BY id"
    with account.services.database.read() as connection:
        asked = connection.execute(text(query), {"job": job}).scalars().all()
    assert asked == [8, 4]


def test_a_second_look_that_is_refused_leaves_the_first_answer(
    open_account: Callable[..., Account], pictures: Path
) -> None:
    account = open_account(images_per_request=60)
    job = account.submit(pictures, second_model="no-such-model", second_look=1.0)
    (ended,) = account.ended(job)
    assert ended.status == "completed", ended.reason
    images = rows(account, job)
    assert [image.status for image in images] == ["included"] * 8
    assert [image.unclear for image in images] == [None, []] * 4
    assert all("hard to tell" in (image.note or "") for image in images[1::2])


def first_look(account: Account, pictures: Path) -> str:
    """A job whose first look is done and whose second one has not begun."""
    job = account.submit(pictures, detail="auto", second_look=1.0)
    prepare_and_upload(account, job)
    run(account.services, infer.STAGE)
    assert account.statuses(job) == {"included": 4, "pending": 4}
    return job


def test_a_job_that_is_cancelled_before_the_second_look_keeps_the_first(
    open_account: Callable[..., Account], pictures: Path
) -> None:
    account = open_account(start=False, images_per_request=60)
    job = first_look(account, pictures)
    with account.services.database.write() as connection:
        assert state.job_cancelled(connection, job, Moved())
    assert account.statuses(job) == {"included": 8}
    assert account.job(job).status == "cancelled"


def test_workers_that_start_between_the_looks_finish_the_job_and_pay_nothing_twice(
    open_account: Callable[..., Account], pictures: Path
) -> None:
    account = open_account(start=False, images_per_request=60)
    job = first_look(account, pictures)
    account.start()
    (ended,) = account.ended(job)
    assert ended.status == "completed", ended.reason
    assert [image.look for image in rows(account, job)] == [1, 2] * 4
    with account.services.database.read() as connection:
        assert pipeline.used(connection, job).requests == 3


def test_files_that_vanish_before_the_second_look_leave_the_first_answer(
    open_account: Callable[..., Account], pictures: Path
) -> None:
    account = open_account(start=False, images_per_request=60)
    job = first_look(account, pictures)
    for number in (2, 4, 6, 8):
        (pictures / f"{number}.png").unlink()
    account.start()
    (ended,) = account.ended(job)
    assert ended.status == "completed", ended.reason
    assert account.statuses(job) == {"included": 8}
    assert [image.unclear for image in rows(account, job)] == [None, []] * 4


def test_of_a_leaf_that_is_divided_the_unclear_images_are_looked_at_twice_too(
    open_account: Callable[..., Account], pictures: Path
) -> None:
    account = open_account(start=False, images_per_request=60)
    job = account.submit(pictures, ask=None, each="Colour?", detail="auto", second_look=0.25)
    prepare_and_upload(account, job)
    seen = {1: "red", 2: "grey", 3: "blue"}
    images = LeafImages(
        dict.fromkeys(seen, Seen.ANSWER),
        answers=seen,
        apart=((4, 5), (6, 7, 8)),
        unclear={2: (), 4: (), 6: ()},  # 4 and 6 had a value that does not fit
    )
    database, lease, moved = account.services.database, Lease("token", 60.0), Moved()
    with database.write() as connection:
        node = claims.next_node(connection, account.services.account, NodeKind.LEAF)
        assert node is not None
        assert claims.claim_node(connection, node, lease, 100)
        assert record(
            account.services.settings, connection, node, lease.token, Accepted("", 0, images), moved
        )
    assert (moved.pending, len(moved.leaves)) == (2, 2)
    account.start()
    (ended,) = account.ended(job)
    assert ended.status == "completed", ended.reason
    assert [image.look for image in rows(account, job)] == [1, 2, 1, 2, 1, 1, 1, 1]
    assert [image.position for image in rows(account, job) if image.unclear is not None] == [6, 8]


def test_a_job_that_grows_asks_only_the_leaf_that_changed(
    open_account: Callable[..., Account], pictures: Path
) -> None:
    account = open_account(images_per_request=4)
    asked: dict[str, Any] = {"ask": None, "each": "Colour?", "detail": "auto", "second_look": 1.0}
    account.ended(account.submit(pictures, **asked))
    Picture.new("RGB", (1400, 1400), (255, 230, 200)).save(pictures / "9.png")
    grown = account.submit(pictures, **asked)
    (ended,) = account.ended(grown)
    assert ended.status == "completed", ended.reason
    assert [image.look for image in rows(account, grown)] == [1, 2] * 4 + [1]
    assert models_called(account, grown) == {("step-3.7-flash", 1)}
