"""Answers that no repetition cures: the job ends after a few calls and names a cure."""

from __future__ import annotations

import json
from typing import Any

import pytest

from core.states import JobStatus
from tests.support.account import Account, on_one_database
from tests.support.waiting import eventually

IN_FLIGHT = 5
"""Calls at once at V0."""
PAGE = "<!doctype html><html><head><title>Sign in to Acme</title></head><body>Log in</body></html>"
CHUNK = 'data: {"id":"a","object":"chat.completion.chunk","choices":[]}\n\ndata: [DONE]\n\n'


def failure(message: str, **more: Any) -> str:
    return json.dumps({"error": {"message": message, **more}})


def ended(account: Account, make_images: Any, **answer: Any) -> Any:
    """The job of 24 images whose calls are all answered so, and how many calls it made."""
    account.sandbox.configure(answer=answer)
    before = account.sandbox.stats()["calls"]
    job = account.submit(make_images(24), fresh=True)
    [row] = account.ended(job)
    return row, account.sandbox.stats()["calls"] - before


@on_one_database
def test_a_job_ends_after_a_few_calls_whatever_the_status_of_the_error(open_account, make_images):
    account = open_account(images_per_request=3)
    for answer, sentence in ANSWERS:
        row, calls = ended(account, make_images, **answer)
        assert row.status == JobStatus.FAILED, answer
        assert sentence in (row.reason or ""), (answer, row.reason)
        assert calls <= 2 * IN_FLIGHT, answer
        assert not (row.reason or "").startswith(("{", "["))


ANSWERS: list[tuple[dict[str, Any], str]] = [
    (
        {"status": 500, "body": failure("image input is not supported - hint: mmproj")},
        "set OVERSTORY_MODEL to a model that takes images",
    ),
    (
        {"status": 200, "body": failure("Model does not support images.", code=500)},
        "set OVERSTORY_MODEL to a model that takes images",
    ),
    (
        {"status": 404, "body": failure("No endpoints found that support image input")},
        "set OVERSTORY_MODEL to a model that takes images",
    ),
    ({"status": 200, "body": failure("no such route", code=404)}, "no such route"),
    ({"status": 200, "body": failure("there is no slot for pictures")}, "answered the same"),
    ({"status": 500, "body": failure("there is no slot for pictures")}, "answered the same"),
    ({"status": 200, "body": PAGE, "headers": {"Content-Type": "text/html"}}, "Sign in to Acme"),
    (
        {"status": 200, "body": CHUNK, "headers": {"Content-Type": "text/event-stream"}},
        "turn streaming off",
    ),
    (
        {
            "status": 400,
            "body": json.dumps(
                [{"error": {"code": 400, "message": "API key not valid. Please pass a valid API"
                  " key.", "status": "INVALID_ARGUMENT"}}]
            ),
        },
        "the API key was refused",
    ),
    ({"status": 403, "body": failure("Forbidden")}, "the API key was refused"),
    ({"status": 200, "body": failure("invalid x-api-key", code=401)}, "the API key was refused"),
    (
        {"status": 400, "body": failure("Invalid model name passed in model=step-3.7-flash")},
        "it lists 5: step-3.7-flash",
    ),
]  # fmt: skip


@on_one_database
@pytest.mark.parametrize("status", [200, 500])
def test_one_image_a_request_is_learned_in_any_status(status, open_account, make_images):
    account = open_account(images_per_request=6)
    account.sandbox.configure(
        answer={
            "status": status,
            "body": failure("vision model only supports a single image per message"),
            "images_free": 1,
        }
    )
    job = account.submit(make_images(8))
    [row] = account.ended(job)
    assert (row.status, account.statuses(job)) == (JobStatus.COMPLETED, {"included": 8})
    refused = account.sandbox.stats()["kinds"]["raw"]
    assert refused <= IN_FLIGHT


@on_one_database
def test_a_spent_budget_at_a_proxy_pauses_like_an_empty_account(open_account, make_images):
    account = open_account(images_per_request=3)
    body = failure(
        "Budget has been exceeded! Current cost: 2, Max budget: 1", type="budget_exceeded"
    )
    for status in (400, 422, 429):
        account.sandbox.configure(answer={"status": status, "body": body}, no_balance=True)
        job = account.submit(make_images(6), fresh=True)
        paused = lambda job=job: account.job(job).status == JobStatus.PAUSED  # noqa: E731
        eventually(paused)
        account.sandbox.configure(answer=None, no_balance=False)
        [row] = account.ended(job)
        assert row.status == JobStatus.COMPLETED


@on_one_database
def test_a_passing_error_is_not_taken_for_a_lasting_one(open_account, make_images):
    account = open_account(images_per_request=3)
    account.sandbox.configure(script=["500"] * 6)
    [row] = account.ended(account.submit(make_images(12)))
    assert row.status == JobStatus.COMPLETED
