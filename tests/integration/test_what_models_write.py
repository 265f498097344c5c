"""Models whose replies have no text, or their reasoning in it: what a job makes of them."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from core.states import JobStatus
from tasks import aggregate, followups
from tests.support.account import Account, on_one_database

IN_FLIGHT = 5
"""Calls at once at V0: so many may be on their way when the first empty reply arrives."""
RECORD = {"type": "object", "properties": {"photo_count": {"type": "integer"}}}
SHAPES: list[dict[str, Any]] = [
    {"ask": "What is there?"},
    {"ask": "What is there?", "bare": True},
    {"ask": "What is there?", "canary": True},
    {"ask": None, "each": "Which colour is it?"},
    {"ask": "How many?", "schema": RECORD},
]


def calls(account: Account) -> int:
    stats: int = account.sandbox.stats()["calls"]
    return stats


@on_one_database
@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("length", "reasoning took 64 of max_tokens"),
        ("tool_call", "a call of the tool describe_images"),
        ("empty", "check with 'overstory doctor'"),
    ],
)
def test_a_job_without_a_word_ends_after_a_handful_of_calls(
    fault, sentence, open_account, make_images
):
    account = open_account(images_per_request=60)
    account.sandbox.configure(rates={fault: 1.0})
    for shape in SHAPES:
        before = calls(account)
        [ended] = account.ended(account.submit(make_images(12), **shape))
        assert ended.status == JobStatus.FAILED
        assert sentence in (ended.reason or ""), shape
        assert "replies, and none has a text" in (ended.reason or "")
        assert calls(account) - before <= 6, shape
    assert "OVERSTORY_REASONING_TOKENS=" in (ended.reason or "") or fault != "length"


@on_one_database
@pytest.mark.parametrize(
    ("fault", "sentence"),
    [("choice_error", "Provider returned error"), ("no_choices", "has no choices")],
)
def test_a_paid_error_inside_a_reply_is_not_paid_for_long(
    fault, sentence, open_account, make_images
):
    account = open_account(images_per_request=60)
    account.sandbox.configure(rates={fault: 1.0})
    [ended] = account.ended(account.submit(make_images(12)))
    assert ended.status == JobStatus.FAILED
    assert sentence in (ended.reason or "")
    assert calls(account) <= 6


@on_one_database
def test_more_room_is_asked_for_before_anything_is_divided(open_account, make_images):
    account = open_account(images_per_request=60, concurrency=1)
    account.sandbox.configure(script=["length", "length"])
    [ended] = account.ended(account.submit(make_images(12)))
    assert ended.status == JobStatus.COMPLETED
    assert [len(call["images"]) for call in starts(account)] == [12, 12, 12]


@on_one_database
def test_many_leaves_are_asked_one_at_a_time_once_a_reply_was_empty(open_account, make_images):
    account = open_account(images_per_request=3)
    account.sandbox.configure(rates={"length": 1.0}, latency_seconds=0.2)
    [ended] = account.ended(account.submit(make_images(60)))
    assert ended.status == JobStatus.FAILED
    assert calls(account) <= IN_FLIGHT + 5


@on_one_database
def test_one_empty_reply_holds_back_no_other_leaf_for_good(open_account, make_images):
    account = open_account(images_per_request=3)
    account.sandbox.configure(script=["length"])
    [ended] = account.ended(account.submit(make_images(30)))
    assert ended.status == JobStatus.COMPLETED
    assert account.statuses(ended.id) == {"included": 30}


@on_one_database
def test_a_mended_model_answers_the_same_job_again(open_account, make_images):
    account = open_account(images_per_request=60, concurrency=1)
    account.sandbox.configure(rates={"length": 1.0})
    account.ended(account.submit(make_images(4)))
    account.sandbox.configure(rates={})
    [ended] = account.ended(account.submit(make_images(4), fresh=False))
    assert ended.status == JobStatus.COMPLETED
    assert len(starts(account)[-1]["images"]) == 4  # asked as at first, not one by one


@on_one_database
def test_branches_without_a_word_give_the_notes_after_a_handful_of_calls(open_account, make_images):
    account = open_account(context_tokens=4096, images_per_request=2)
    first = account.submit(make_images(40))
    [ended] = account.ended(first)
    assert ended.status == JobStatus.COMPLETED
    account.sandbox.configure(rates={"empty": 1.0})
    before = calls(account)
    further = followups.ask(account.services, first, "Which is the largest?").job_id
    [ended] = account.ended(further)
    assert (ended.answer or "").startswith(aggregate.AS_THEY_ARE)
    assert "No reply had a text: the model ended" in (ended.answer or "")
    branches = "SELECT id FROM nodes WHERE job_id = :job AND kind = 'branch'"
    assert calls(account) - before <= len(column(account, further, branches)) + 5


@on_one_database
def test_an_answer_in_the_field_of_the_reasoning_is_used(open_account, make_images):
    account = open_account(images_per_request=60)
    account.sandbox.configure(rates={"reasoned": 1.0})
    for shape in SHAPES:
        before = calls(account)
        [ended] = account.ended(account.submit(make_images(12), **shape))
        assert ended.status == JobStatus.COMPLETED, shape
        assert calls(account) - before == 1, shape


@on_one_database
@pytest.mark.parametrize(
    "form",
    [
        "<think>So it is [9999].</think>\n{content}",
        "So it is [9999].\n</think>\n{content}",
        "<|channel|>analysis<|message|>So it is [9999].<|end|><|channel|>final<|message|>{content}",
    ],
)
def test_reasoning_in_the_text_is_in_no_answer_note_or_citation(form, open_account, make_images):
    account = open_account()
    account.sandbox.configure(content_form=form)
    for shape in SHAPES:
        job = account.submit(make_images(8), **shape)
        [ended] = account.ended(job)
        assert ended.status == JobStatus.COMPLETED, shape
        kept = [ended.answer, *column(account, job, "SELECT text FROM nodes WHERE job_id = :job")]
        kept += column(account, job, "SELECT note FROM images WHERE job_id = :job")
        kept += column(account, job, "SELECT reply FROM calls WHERE job_id = :job")
        assert not any("9999" in text or "think" in text for text in kept if text)
        thoughts = column(account, job, "SELECT reasoning FROM calls WHERE job_id = :job")
        assert all("So it is [9999]." in text for text in thoughts), shape
        refused = column(account, job, "SELECT refused_citations FROM nodes WHERE job_id = :job")
        assert set(refused) == {0}


@on_one_database
def test_a_thought_that_takes_all_tokens_is_no_answer(open_account, make_images):
    account = open_account(images_per_request=60)
    account.sandbox.configure(content_form="<think>So it is [9999]. {content}")
    [ended] = account.ended(account.submit(make_images(5)))
    assert ended.status == JobStatus.FAILED
    assert "reasoning took" in (ended.reason or "")


def starts(account: Account) -> list[dict[str, Any]]:
    return [line for line in account.sandbox.ledger() if line["event"] == "start"]


def column(account: Account, job: str, words: str) -> list[Any]:
    with account.services.database.read() as connection:
        return list(connection.execute(text(words), {"job": job}).scalars())
