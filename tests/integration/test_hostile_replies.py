"""Paid replies that cannot be used as they are: no second payment, no endless wait."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Collection
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text

from core.reply import Reply, Usage
from core.states import JobStatus
from core.text import citations
from models.reads import pipeline
from tasks import image_slices, infer, preprocess, upload
from tasks.calls.run import run
from tasks.upkeep.reconciler import Reconciler
from tests.support.account import Account, on_one_database, prepare_and_upload
from tests.support.waiting import eventually

SIGNS = r'{"1": "a boat \ud83d", "2": "c", "3": "\u0000 d"}'


def answers(account: Account, job: str) -> list[Any]:
    with account.services.database.read() as connection:
        return [image.answer for image in pipeline.images(connection, job)]


def reply_with(account: Account, monkeypatch: pytest.MonkeyPatch, asked: str, said: str) -> None:
    """Replies to requests that hold the words ``asked`` say ``said``."""
    real = account.services.provider.chat

    def chat(body: dict[str, Any], **more: Any) -> Reply:
        reply = real(body, **more)
        return replace(reply, text=said) if asked in str(body) else reply

    monkeypatch.setattr(account.services.provider, "chat", chat)


def test_an_answer_with_characters_no_database_stores_is_kept_and_paid_once(
    open_account, make_images, monkeypatch
):
    account = open_account()
    reply_with(account, monkeypatch, "sign say", SIGNS)
    job = account.submit(make_images(3), ask=None, each="What does the sign say?")
    (ended,) = account.ended(job)
    assert ended.status == JobStatus.COMPLETED
    assert answers(account, job) == ["a boat \ufffd", "c", "\ufffd d"]
    assert account.sandbox.stats()["paid"] == 1


class Unforeseen(Exception):
    """A failure that no reply should be able to cause."""


@on_one_database
def test_a_job_whose_replies_cannot_be_judged_ends_and_does_not_block_others(
    open_account, make_images, monkeypatch
):
    account = open_account(start=False, call_attempts_max=3)
    services = account.services
    reply_with(account, monkeypatch, "Fatal?", "[1] is fatal")
    real = citations.check

    def check(said: str, known: Collection[int]) -> citations.Checked:
        if "fatal" in said:
            raise Unforeseen
        return real(said, known)

    monkeypatch.setattr(citations, "check", check)
    bad = account.submit(make_images(2), "Fatal?")
    later = [account.submit(make_images(3, f"l{n}", 50 + 5 * n), key=f"l{n}") for n in range(3)]
    for _ in range(8):
        image_slices.run_slice(services, preprocess.STAGE)
    for _ in range(8):
        upload.run(services)
    with services.database.write() as connection:  # the job that is always served first
        connection.execute(text("UPDATE jobs SET weight = 100 WHERE id = :job"), {"job": bad})
    reconciler = Reconciler(services)

    def all_ended() -> bool:
        with contextlib.suppress(Unforeseen):  # its worker continues with the next message
            run(services, infer.STAGE)
        with services.database.write() as connection:  # time passes
            connection.execute(text("UPDATE nodes SET due_at = 0"))
            lapsed = "UPDATE nodes SET lease_until = 0 WHERE status = 'running'"
            connection.execute(text(lapsed))
        reconciler.tick()
        return all(account.job(job).status.ended for job in (bad, *later))

    eventually(all_ended)
    assert [account.job(job).status for job in later] == [JobStatus.COMPLETED] * 3
    assert account.job(bad).status == JobStatus.FAILED
    assert account.statuses(bad) == {"failed": 2}


def test_a_reply_without_usage_is_billed_by_an_estimate(open_account, make_images, monkeypatch):
    account = open_account()
    real, told = account.services.provider.chat, []

    def chat(body: dict[str, Any], **more: Any) -> Reply:
        reply = real(body, **more)
        told.append(reply.usage)
        return replace(reply, usage=Usage(0, 0, 0))

    monkeypatch.setattr(account.services.provider, "chat", chat)
    job = account.submit(make_images(4))
    account.ended(job)
    asked = "SELECT prompt_tokens, completion_tokens, cost FROM calls WHERE job_id = :job"
    with account.services.database.read() as connection:
        (call,) = connection.execute(text(asked), {"job": job})
    (usage,) = told
    assert usage.prompt_tokens <= call.prompt_tokens <= 1.3 * usage.prompt_tokens
    assert usage.completion_tokens / 2 <= call.completion_tokens <= 3 * usage.completion_tokens
    assert call.cost > 0


KILLED = """
import os
from core.requests.notes_leaf import NotesLeaf
from core.settings import load
from tasks import infer
from tasks.calls.run import run
from tests.support.account import make_services

NotesLeaf.review = lambda *_: os._exit(9)
run(make_services(load()), infer.STAGE)
"""
"""A worker that a reply kills, as one does that takes all the memory."""


def in_a_worker_that_the_reply_kills(account: Account) -> None:
    """Let a process of its own ask for the leaf or replay its reply; then its lease expires."""
    settings = account.services.settings
    given = {
        "API_KEY": settings.api_key.get_secret_value(),
        "BASE_URL": settings.base_url,
        "DATABASE_URL": settings.database_url,
        "LIMITER_URL": settings.limiter_url,
        "HOME": str(settings.home),
        "IMAGES_PER_REQUEST": "6",
    }
    named = {f"OVERSTORY_{name}": value for name, value in given.items()}
    done = subprocess.run([sys.executable, "-c", KILLED], env=os.environ | named, timeout=60)
    assert done.returncode == 9
    with account.services.database.write() as connection:
        connection.execute(text("UPDATE nodes SET lease_until = 0, due_at = 0"))
        connection.execute(text("UPDATE images SET lease_until = 0"))
    Reconciler(account.services).tick()


@on_one_database
def test_a_reply_that_kills_its_worker_costs_an_attempt_each_time_it_is_replayed(
    open_account, make_images
):
    account = open_account(start=False, call_attempts_max=3)
    job = account.submit(make_images(2))
    prepare_and_upload(account, job)
    for attempts in (1, 2):  # asked, then from the ledger
        in_a_worker_that_the_reply_kills(account)
        assert (account.attempts(), account.job(job).status) == (attempts, JobStatus.RUNNING)
    in_a_worker_that_the_reply_kills(account)
    assert account.job(job).status == JobStatus.FAILED
    assert account.statuses(job) == {"failed": 2}
    assert account.sandbox.stats()["paid"] == 1


@on_one_database
def test_a_replay_that_goes_well_costs_no_attempt(open_account, make_images, monkeypatch):
    """A reply that leads to a second one is replayed before that one is asked for."""
    account = open_account(start=False)
    replies = iter(["", "[1] red\n[2] blue\n===\nRed [1] and blue [2]."])
    real = account.services.provider.chat

    def chat(body: dict[str, Any], **more: Any) -> Reply:
        return replace(real(body, **more), text=next(replies))

    monkeypatch.setattr(account.services.provider, "chat", chat)
    job = account.submit(make_images(2))
    prepare_and_upload(account, job)
    run(account.services, infer.STAGE)
    with account.services.database.write() as connection:
        connection.execute(text("UPDATE nodes SET due_at = 0"))
    before = account.attempts()
    run(account.services, infer.STAGE)
    assert account.job(job).status == JobStatus.COMPLETED
    assert account.attempts() == before + 1
