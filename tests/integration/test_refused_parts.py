"""Parts of a request that an endpoint refuses: learned once, at no image's cost, used by all."""

from __future__ import annotations

import json
from typing import Any

import pytest
from PIL import Image
from sqlalchemy import text

from clients import guarded_http
from core.errors import RequestForm
from core.states import JobStatus
from models import endpoint_limits
from tests.support import shell
from tests.support.account import Account, on_one_database
from tests.support.web_server import gives

IN_FLIGHT = 5
"""Calls at once at V0: so many may be on their way when the first refusal arrives."""
RECORD = {"type": "object", "properties": {"photo_count": {"type": "integer"}}}
PARTS = [
    ({"max_tokens"}, {"completion_tokens"}),
    ({"max_tokens", "max_completion_tokens"}, {"completion_tokens", "no_max_tokens"}),
    ({"temperature"}, {"no_temperature"}),
    ({"system"}, {"no_system"}),
    ({"detail"}, {"no_detail"}),
    ({"url"}, {"inline"}),
    ({"json_schema"}, {"no_json_schema"}),
    ({"json_schema", "response_format"}, {"no_json_schema", "no_json_mode"}),
]


def learned(account: Account) -> set[str]:
    with account.services.database.read() as connection:
        rows = connection.execute(text("SELECT part FROM endpoint_limits")).scalars()
        return set(rows)


def forget(account: Account) -> None:
    with account.services.database.write() as connection:
        endpoint_limits.forget(connection)


def refusals(account: Account) -> int:
    kinds = account.sandbox.stats()["kinds"]
    return int(kinds.get("invalid_request_error", 0))


@on_one_database
def test_each_refused_part_is_learned_once_and_costs_no_image(open_account, make_images):
    account = open_account(images_per_request=2)
    for refused, forms in PARTS:
        account.sandbox.configure(refuses=sorted(refused))
        before = refusals(account)
        shape: dict[str, Any] = {"ask": "How many?", "schema": RECORD}
        first = account.submit(make_images(16), fresh=True, **shape)
        [row] = account.ended(first)
        assert (row.status, account.statuses(first)) == (
            JobStatus.COMPLETED,
            {"included": 16},
        ), refused
        assert learned(account) == forms
        assert refusals(account) - before <= IN_FLIGHT + len(forms), refused
        before = refusals(account)
        [row] = account.ended(account.submit(make_images(6, "few"), fresh=True, **shape))
        assert (row.status, refusals(account)) == (JobStatus.COMPLETED, before), refused
        assert account.attempts() == 1  # the one that was answered
        forget(account)


@on_one_database
def test_all_parts_at_once_are_learned_in_a_few_requests(open_account, make_images):
    account = open_account(images_per_request=3, reasoning_effort="low")
    parts = ["max_tokens", "temperature", "system", "json_schema", "url", "detail"]
    account.sandbox.configure(refuses=[*parts, "reasoning_effort"])
    job = account.submit(make_images(12), ask="How many?", schema=RECORD)
    [row] = account.ended(job)
    assert (row.status, account.statuses(job)) == (JobStatus.COMPLETED, {"included": 12})
    assert len(learned(account)) == len(parts) + 1
    assert refusals(account) <= IN_FLIGHT + len(parts) + 1


@on_one_database
def test_a_paid_reply_answers_the_request_in_every_form(open_account, make_images):
    account = open_account()
    account.ended(account.submit(make_images(6)))
    paid = account.sandbox.stats()["paid"]
    with account.services.database.write() as connection:
        [endpoint, model] = connection.execute(text("SELECT endpoint, model FROM jobs")).one()
        for form in (RequestForm.COMPLETION_TOKENS, RequestForm.NO_SYSTEM, RequestForm.INLINE):
            endpoint_limits.learn(connection, endpoint, model, form, 0, True, "refused")
    account.sandbox.configure(refuses=["max_tokens", "system", "url"])
    [row] = account.ended(account.submit(make_images(6), key="again"))
    assert row.status == JobStatus.COMPLETED
    assert account.sandbox.stats()["paid"] == paid


@on_one_database
def test_webp_is_prepared_anew_as_jpeg(open_account, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for n in range(6):
        Image.new("RGB", (200, 200), (40 * n, 90, 10)).save(folder / f"{n}.webp", "WEBP")
    account = open_account(provider="openai", model="step-3.7-flash")
    account.sandbox.configure(refuses=["webp"])
    job = account.submit(folder)
    [row] = account.ended(job)
    assert (row.status, account.statuses(job)) == (JobStatus.COMPLETED, {"included": 6})
    assert learned(account) == {"jpeg"}
    with account.services.database.read() as connection:
        mimes = connection.execute(text("SELECT DISTINCT mime FROM images")).scalars().all()
    assert "image/webp" not in mimes


@on_one_database
def test_a_url_that_the_endpoint_does_not_fetch_is_fetched_here(
    open_account, make_images, server, monkeypatch
):
    monkeypatch.setattr(guarded_http, "check_address", lambda *_: None)
    server.answers["/a.jpg"] = gives((make_images(1) / "0000.jpg").read_bytes())
    account = open_account(provider="openai")
    account.sandbox.configure(refuses=["url"])
    job = account.submit(server.url("/a.jpg"))
    [row] = account.ended(job)
    assert (row.status, account.statuses(job)) == (JobStatus.COMPLETED, {"included": 1})
    assert learned(account) == {"inline"}
    assert refusals(account) == 1


@on_one_database
def test_a_refusal_of_what_was_not_sent_is_learned_not(open_account, make_images):
    account = open_account(images_per_request=3)
    body = json.dumps({"error": {"message": "Unsupported parameter: 'reasoning_effort'"}})
    account.sandbox.configure(answer={"status": 400, "body": body})
    [row] = account.ended(account.submit(make_images(6)))
    assert row.status == JobStatus.FAILED
    assert "reasoning_effort" in (row.reason or "")
    assert learned(account) == set()


def test_commands_show_the_forms_and_forget_them(own):
    with own.write() as connection:
        for form in RequestForm:
            endpoint_limits.learn(
                connection, "sandbox", "step-3.7-flash", form, 4096, True, "no thanks"
            )
    shown = " ".join(shell.say("account").stdout.split())
    assert "max_tokens is sent as max_completion_tokens (the endpoint said: no thanks)" in shown
    assert "max_tokens is 4,096 at most" in shown
    assert "temperature is left out" in " ".join(shell.say("doctor").stdout.split())
    assert len(json.loads(shell.say("account", "--json").stdout)["learned_limits"]) == 11
    assert shell.say("doctor", "--forget").stdout == "11 learned limits forgotten\n"


@pytest.mark.parametrize("form", RequestForm)
def test_every_form_has_a_sentence(form: RequestForm) -> None:
    assert form in endpoint_limits.FORM_SENTENCES
