"""Answers per image and one object for the set, against a sandbox with bad replies."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from core.errors import RefusalCode
from core.states import JobStatus
from overstory.output.result import result
from overstory.sandbox.answers.malformed import FALSE_TOTAL
from overstory.sandbox.answers.observation import INVENTED_MARKER
from overstory.sandbox.process import SandboxProcess
from tests.support.account import Account, on_one_database

OpenAccount = Callable[..., Account]
MakeImages = Callable[..., Path]

EACH = "Which colour is it?"
RECORD = {
    "type": "object",
    "required": ["photo_count", "finds", "summary"],
    "additionalProperties": False,
    "properties": {
        "photo_count": {"type": "integer"},
        "finds": {"type": "array", "items": {"$ref": "#/$defs/Find"}},
        "summary": {"type": "string"},
    },
    "$defs": {
        "Find": {
            "type": "object",
            "required": ["colour", "image"],
            "properties": {
                "colour": {"type": "string"},
                "image": {"type": "integer", "x-image": True},
            },
        }
    },
}
COUNTS = {"type": "object", "properties": {"photo_count": {"type": "integer"}}}


def answers(account: Account, job: str) -> dict[int, Any]:
    found = result(account.services.database, account.job(job))
    return {each["position"]: each["answer"] for each in found["images"] if each["answer"]}


def sent(sandbox: SandboxProcess) -> list[int]:
    """How many images each answered call showed."""
    return [len(x["images"]) for x in sandbox.ledger() if x["event"] == "start"]


def statements(account: Account, words: str, **values: Any) -> list[Any]:
    with account.services.database.read() as connection:
        return list(connection.execute(text(words), values).all())


def test_every_image_gets_an_answer_without_calls_above_the_leaves(
    open_account: OpenAccount, make_images: MakeImages, sandbox: SandboxProcess
) -> None:
    account = open_account()
    job = account.submit(make_images(14), ask=None, each=EACH)
    (row,) = account.ended(job)
    assert row.status == JobStatus.COMPLETED
    assert sorted(answers(account, job)) == list(range(1, 15))
    assert [line.partition(" ")[0] for line in (row.answer or "").splitlines()] == [
        f"[{n}]" for n in range(1, 15)
    ]
    assert sorted(sent(sandbox)) == [4, 5, 5]
    nodes = statements(account, "SELECT kind, level FROM nodes WHERE parent_id IS NULL")
    assert nodes == [("branch", 1)]


def test_only_images_missing_from_a_reply_are_sent_again(
    open_account: OpenAccount, make_images: MakeImages, sandbox: SandboxProcess
) -> None:
    sandbox.configure(missing_keys=2)
    account = open_account(concurrency=1)
    job = account.submit(make_images(5), ask=None, each=EACH)
    (row,) = account.ended(job)
    assert row.status == JobStatus.COMPLETED
    assert sent(sandbox) == [5, 2]
    said = answers(account, job)
    assert len(said) == 5
    sandbox.configure(missing_keys=0)
    straight = account.submit(account_photos(make_images), ask=None, each=EACH, fresh=True)
    account.ended(straight)
    assert answers(account, straight) == said


def account_photos(make_images: MakeImages) -> Path:
    return make_images(5)


def test_only_an_image_without_an_answer_in_any_attempt_fails(
    open_account: OpenAccount, make_images: MakeImages, sandbox: SandboxProcess
) -> None:
    sandbox.configure(missing_colour="red")
    account = open_account(concurrency=1)
    job = account.submit(make_images(6), ask=None, each=EACH)
    (row,) = account.ended(job)
    assert row.status == JobStatus.PARTIAL
    found = result(account.services.database, row)
    failed = [each for each in found["images"] if each["status"] == "failed"]
    assert {each["error_code"] for each in failed} == {RefusalCode.NO_ANSWER}
    assert len(answers(account, job)) + len(failed) == 6
    assert sent(sandbox) == [6, len(failed), len(failed)]
    assert "not part of this answer" in (row.answer or "")


@on_one_database
@pytest.mark.parametrize(("fault", "together"), [("wrong_schema", 2), ("empty", 3), ("length", 3)])
def test_replies_without_any_answer_cost_a_bounded_number_of_calls(
    fault: str,
    together: int,
    open_account: OpenAccount,
    make_images: MakeImages,
    sandbox: SandboxProcess,
) -> None:
    if fault == "wrong_schema":
        sandbox.configure(wrong_schema=True)
    else:
        sandbox.configure(rates={fault: 1.0})
    account = open_account(concurrency=1)
    job = account.submit(make_images(4), ask=None, each=EACH)
    (row,) = account.ended(job)
    assert row.status == JobStatus.FAILED
    expected = {"length": "OVERSTORY_REASONING_TOKENS="}.get(fault, "check with 'overstory doctor'")
    assert expected in (row.reason or "")
    shown = sent(sandbox)
    assert shown == [4] * together + [1] * (len(shown) - together)
    assert len(shown) <= 9  # the whole set alone once would be 4 images x 5 attempts more
    # one may be about to be sent, or in flight, when the job ends
    ended = "SELECT cost FROM calls WHERE status = 'settled'"
    costs = [cost for (cost,) in statements(account, ended)]
    assert len(costs) >= len(shown) - 1
    assert min(costs) > 0


@on_one_database
def test_one_empty_reply_costs_one_more_call(
    open_account: OpenAccount, make_images: MakeImages, sandbox: SandboxProcess
) -> None:
    sandbox.configure(script=["empty"])
    account = open_account(concurrency=1)
    job = account.submit(make_images(4), ask=None, each=EACH)
    (row,) = account.ended(job)
    assert row.status == JobStatus.COMPLETED
    assert sent(sandbox) == [4, 4]


@on_one_database
def test_replies_in_code_fences_are_read(
    open_account: OpenAccount, make_images: MakeImages, sandbox: SandboxProcess
) -> None:
    sandbox.configure(code_fences=True)
    account = open_account(concurrency=1, structured="text")
    job = account.submit(make_images(4), ask="How many?", schema=RECORD)
    (row,) = account.ended(job)
    assert row.status == JobStatus.COMPLETED
    assert json.loads(row.answer or "")["photo_count"] == 4


@pytest.mark.parametrize("structured", ["json_schema", "json_object"])
@pytest.mark.parametrize("photos", [5, 20])
def test_no_false_total_key_or_number_reaches_an_answer(
    structured: str,
    photos: int,
    open_account: OpenAccount,
    make_images: MakeImages,
    sandbox: SandboxProcess,
) -> None:
    sandbox.configure(false_totals=True, false_citations=True)
    account = open_account(structured=structured)
    images = make_images(photos)
    job = account.submit(images, ask="How many, and what stands out?", schema=RECORD)
    each = account.submit(images, ask=None, each=EACH)
    row, lines = account.ended(job, each)
    data = json.loads(row.answer or "")
    assert data["photo_count"] == photos
    assert [find["image"] for find in data["finds"]] == list(range(1, photos + 1))
    assert data["summary"]
    stored = statements(
        account,
        "SELECT text FROM nodes UNION ALL SELECT answer FROM jobs"
        " UNION ALL SELECT CAST(answer AS text) FROM images",
    )
    for (told,) in stored:
        assert str(FALSE_TOTAL) not in (told or "")
        assert str(INVENTED_MARKER) not in (told or "")
    assert row.status == lines.status == JobStatus.COMPLETED


def test_records_without_texts_need_no_call_above_the_leaves(
    open_account: OpenAccount, make_images: MakeImages, sandbox: SandboxProcess
) -> None:
    account = open_account()
    folder = make_images(13)
    (folder / "twin.jpg").write_bytes((folder / "0000.jpg").read_bytes())
    job = account.submit(folder, ask="How many?", schema=COUNTS)
    (row,) = account.ended(job)
    assert json.loads(row.answer or "") == {"photo_count": 13}  # the duplicate counts once
    assert sorted(sent(sandbox)) == [4, 4, 5]


def test_a_refused_image_is_in_no_total(
    open_account: OpenAccount, make_images: MakeImages, sandbox: SandboxProcess
) -> None:
    sandbox.configure(keyed=[{"match": "colour:black"}])
    account = open_account()
    job = account.submit(make_images(5), ask="How many?", schema=RECORD)
    (row,) = account.ended(job)
    assert row.status == JobStatus.PARTIAL
    data = json.loads(row.answer or "")
    assert data["photo_count"] == len(data["finds"]) == 4


def test_a_retried_job_counts_once_and_pays_once(
    open_account: OpenAccount, make_images: MakeImages, sandbox: SandboxProcess
) -> None:
    account = open_account(concurrency=1)
    images = make_images(8)
    first = account.submit(images, ask="How many?", schema=RECORD, key="a")
    account.ended(first)
    calls = len(sent(sandbox))
    second = account.submit(images, ask="How many?", schema=RECORD, key="b")
    (row,) = account.ended(second)
    assert json.loads(row.answer or "")["photo_count"] == 8
    assert len(sent(sandbox)) == calls


def test_a_crash_between_attempts_pays_nothing_twice(
    open_account: OpenAccount, make_images: MakeImages, sandbox: SandboxProcess
) -> None:
    sandbox.configure(missing_keys=2)
    account = open_account(concurrency=1)
    job = account.submit(make_images(5), ask="Which stand out?", each=EACH)
    account.ended(job)
    before = sent(sandbox)
    with account.services.database.write() as connection:  # as if no result had been recorded
        connection.execute(text("UPDATE images SET status = 'uploaded', answer = NULL"))
        connection.execute(text("UPDATE nodes SET status = 'ready', text = NULL"))
        connection.execute(text("UPDATE jobs SET status = 'running', answer = NULL"))
    (row,) = account.ended(job)
    assert row.status == JobStatus.COMPLETED
    assert before == sent(sandbox) == [5, 2, 0]
    assert len(answers(account, job)) == 5


@on_one_database
def test_a_small_set_is_answered_per_image_and_together_in_one_call(
    open_account: OpenAccount, make_images: MakeImages, sandbox: SandboxProcess
) -> None:
    account = open_account()
    job = account.submit(make_images(4), ask="What stands out?", each=EACH)
    (row,) = account.ended(job)
    assert sent(sandbox) == [4]
    assert len(answers(account, job)) == 4
    assert "[4]" in (row.answer or "")


@on_one_database
def test_a_large_set_is_answered_over_its_answers(
    open_account: OpenAccount, make_images: MakeImages, sandbox: SandboxProcess
) -> None:
    account = open_account()
    job = account.submit(make_images(13), ask="What stands out?", each=EACH)
    (row,) = account.ended(job)
    assert sorted(sent(sandbox)) == [0, 4, 4, 5]
    assert (row.answer or "").startswith("Of 13 images")


@on_one_database
def test_a_model_without_json_schema_gets_the_schema_as_text(
    open_account: OpenAccount, make_images: MakeImages, sandbox: SandboxProcess
) -> None:
    account = open_account(model="step-1o-turbo-vision")
    job = account.submit(make_images(4), ask="How many?", schema=RECORD)
    (row,) = account.ended(job)
    assert row.status == JobStatus.COMPLETED
    assert json.loads(row.answer or "")["photo_count"] == 4
