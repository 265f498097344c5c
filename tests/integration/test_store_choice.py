"""Which images go to the provider's file store, and which travel inside their requests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from core.states import JobStatus
from tasks import followups, image_slices, preprocess, store_choice
from tests.support.account import Account, prepare_and_upload
from tests.support.waiting import eventually

Open = Callable[..., Account]
Images = Callable[..., Path]


def done(account: Account, job: str, images: int) -> None:
    [ended] = account.ended(job)
    assert ended.status == JobStatus.COMPLETED, ended.error
    assert account.statuses(job) == {"included": images}


def uploads(account: Account) -> int:
    stats: dict[str, Any] = account.sandbox.stats()
    return int(stats["uploads"])


@pytest.mark.parametrize(
    ("store", "spec", "uploaded"),
    [
        ("auto", {}, 0),
        ("auto", {"keep_files": True}, 12),
        ("always", {}, 12),
        ("never", {"keep_files": True}, 0),
    ],
)
def test_what_is_asked_once_travels_inside_its_request(
    open_account: Open, make_images: Images, store: str, spec: dict[str, Any], uploaded: int
) -> None:
    account = open_account(store=store)
    job = account.submit(make_images(12), **spec)
    done(account, job, 12)
    assert uploads(account) == uploaded
    if not spec:
        eventually(lambda: account.sandbox.stats()["files"] == 0)


def test_the_request_has_the_same_key_either_way(open_account: Open, make_images: Images) -> None:
    photos = make_images(12)
    inside, stored = open_account(api_key="one"), open_account(api_key="one", store="always")
    done(inside, inside.submit(photos, key="inside"), 12)
    paid = inside.sandbox.stats()["paid"]
    done(stored, stored.submit(photos, key="stored"), 12)
    assert inside.sandbox.stats()["paid"] == paid


def test_a_further_question_uses_files_and_leaves_them_for_the_next_one(
    open_account: Open, make_images: Images
) -> None:
    account = open_account(store="auto")
    job = account.submit(make_images(12))
    done(account, job, 12)
    assert uploads(account) == 0
    account.ended(followups.ask(account.services, job, "Which?", frozenset(range(12))).job_id)
    assert uploads(account) == 12
    account.ended(followups.ask(account.services, job, "Why?", frozenset(range(12))).job_id)
    assert uploads(account) == 12  # the reconciler has let them wait for it
    assert account.sandbox.stats()["files"] == 12


def test_contents_that_another_running_job_waits_to_show_are_stored(
    open_account: Open, make_images: Images
) -> None:
    account = open_account(start=False, store="auto")
    photos = make_images(12)
    first = account.submit(photos, ask="What?")
    while account.statuses(first)["pending"]:
        image_slices.run_slice(account.services, preprocess.STAGE)
    second = account.submit(photos, ask="Why?")
    prepare_and_upload(account, second)
    assert uploads(account) == 12
    account.start()
    done(account, first, 12)
    done(account, second, 12)
    assert uploads(account) == 12
    eventually(lambda: account.sandbox.stats()["files"] == 0)


@pytest.mark.parametrize(
    ("bytes_a_second", "uploaded"),
    [
        (store_choice.SLOW_BYTES_A_SECOND - 1, 12),
        (store_choice.SLOW_BYTES_A_SECOND + 1, 0),
    ],
)
def test_over_a_slow_line_images_go_to_the_store(
    open_account: Open, make_images: Images, bytes_a_second: float, uploaded: int
) -> None:
    account = open_account(start=False, store="auto")
    account.services.limiter.sent(bytes_a_second)
    job = account.submit(make_images(12))
    prepare_and_upload(account, job)
    assert uploads(account) == uploaded
    account.start()
    done(account, job, 12)


def test_a_limiter_that_does_not_answer_keeps_no_image_waiting(
    open_account: Open, make_images: Images
) -> None:
    account = open_account(start=False, store="auto", limiter_url="redis://127.0.0.1:1/0")
    job = account.submit(make_images(12))
    prepare_and_upload(account, job)
    assert account.statuses(job) == {"uploaded": 12}


def test_images_whose_pack_would_pass_the_bytes_of_a_request_are_stored(
    open_account: Open, make_images: Images
) -> None:
    account = open_account(start=False, store="auto")  # six images a request
    job = account.submit(make_images(12))
    while account.statuses(job)["pending"]:
        image_slices.run_slice(account.services, preprocess.STAGE)
    with account.services.database.write() as connection:
        connection.execute(text("UPDATE images SET prepared_bytes = 2600000"))
    prepare_and_upload(account, job)
    assert uploads(account) == 12


def test_a_request_that_was_sent_in_vain_twice_is_sent_with_files(
    open_account: Open, make_images: Images
) -> None:
    account = open_account(store="auto", tier="V0")
    account.sandbox.configure(script=["500", "500"])
    job = account.submit(make_images(6))
    done(account, job, 6)
    assert uploads(account) == 6
    assert account.sandbox.stats()["repeated_paid"] == 0


def test_a_full_store_keeps_no_image_waiting(open_account: Open, make_images: Images) -> None:
    account = open_account(files_max=4, store="auto")
    account.sandbox.configure(max_files=4)
    job = account.submit(make_images(24), keep_files=True)
    done(account, job, 24)
    assert 1 <= uploads(account) <= 4
