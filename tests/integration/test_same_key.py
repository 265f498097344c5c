"""A submission with the key of an earlier job is that job, or is refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from core.errors import WrongUsage
from core.jobs import JobSpec
from models.tables import Job
from tasks import submit as submitting
from tests.support.account import Account, on_one_database

SCHEMA = {"type": "object", "properties": {"total": {"type": "number"}}}
GIVEN: dict[str, Any] = {"ask": "What is there?", "each": "What is it?", "schema": SCHEMA}

pytestmark = on_one_database


@pytest.fixture
def account(open_account: Callable[..., Account]) -> Account:
    return open_account(start=False)


def submit(account: Account, *images: Path | str, **fields: Any) -> str:
    spec = JobSpec(images=[str(image) for image in images], key="mine", **GIVEN | fields)
    return submitting.submit(account.services, spec).job_id


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"budget": 2.0, "weight": 3.0, "label": "another", "fresh": True, "keep_files": True},
        {"fail_fast": True, "min_coverage": 0.5, "fetch": True},
        {"detail": "low", "model": "step-3.7-flash"},
    ],
)
def test_what_does_not_change_the_answer_may_differ(account, make_images, fields) -> None:
    photos = make_images(3)
    job = submit(account, photos)
    assert submit(account, photos, **fields) == job
    assert submit(account, *sorted(photos.iterdir(), reverse=True)) == job  # the same images


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"ask": "Who?"}, 'ask ("What is there?", not "Who?")'),
        ({"ask": None}, 'ask ("What is there?", not null)'),
        ({"each": "Which?"}, 'each ("What is it?", not "Which?")'),
        ({"schema": SCHEMA | {"title": "Bill"}}, "schema ("),
        ({"schema": None}, "schema ("),
        ({"detail": "high"}, 'detail ("low", not "high")'),
        ({"model": "step-5-preview"}, 'model ("step-3.7-flash", not "step-5-preview")'),
        ({"prompts": {"nudge_form": "JSON."}}, 'prompts ({}, not {"nudge_form": "JSON."})'),
        ({"canary": True}, "canary (false, not true)"),
        ({"pack": 1}, "pack (null, not 1)"),
    ],
)
def test_another_question_under_the_same_key_is_refused(
    account, make_images, fields, named
) -> None:
    photos = make_images(2)
    job = submit(account, photos)
    with pytest.raises(WrongUsage, match=r"^key: job") as refused:
        submit(account, photos, **fields)
    assert f"job {job} has the key 'mine' and differs in {named}" in str(refused.value)


def test_other_images_under_the_same_key_are_refused(account, make_images) -> None:
    photos = make_images(6)
    job = submit(account, photos)
    names = sorted(photo.name for photo in photos.iterdir())
    shutil.copy(photos / names[0], photos / "zz-new.png")
    (photos / names[1]).unlink()
    with (photos / names[2]).open("ab") as file:
        file.write(b"\0" * 9)
    with pytest.raises(WrongUsage) as refused:
        submit(account, photos)
    said = str(refused.value)
    assert f"images: 1 added (zz-new.png), 1 removed ({names[1]}), 1 changed ({names[2]})" in said
    assert account.job(job).submitted == 6


def test_inputs_that_are_gone_do_not_matter_if_they_are_named_as_before(
    account, make_images, tmp_path
) -> None:
    photos = make_images(2)
    job = submit(account, photos)
    shutil.rmtree(photos)
    assert submit(account, photos) == job
    with pytest.raises(WrongUsage, match=r"differs in ask"):
        submit(account, photos, ask="Who?")
    with pytest.raises(WrongUsage, match="elsewhere"):
        submit(account, tmp_path / "elsewhere")
    with account.services.database.write() as connection:  # a job of an earlier version
        options = account.job(job).options.to_json()
        assert options.pop("inputs")
        connection.execute(update(Job).values(options=type(account.job(job).options)(**options)))
    assert submit(account, tmp_path / "elsewhere") == job


def test_a_refusal_is_short_and_printable_whatever_was_submitted(account, make_images) -> None:
    submit(account, make_images(1), "https://h.example/" + "x" * 8_000)
    with pytest.raises(WrongUsage) as caught:
        submit(account, "https://h.example/\u202e" + "y" * 8_000, ask="Who\u2028\ufeff\x9b2J?")
    said = str(caught.value)
    assert said.isprintable()
    assert len(said) < 1_000
    assert "1 added" in said
    assert "ask (" in said
