"""The budget of a token binds what all its jobs cost in a day or a month."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from core.access import parse_budget
from core.errors import WrongUsage
from core.jobs import JobSpec
from core.states import JobStatus
from models import ledger, retention, tokens
from tasks import submit as submitting
from tests.support.account import Account, on_one_database
from tests.support.spending import DEAR, bill, stands
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow


def give_token(account: Account, name: str, budget: str) -> None:
    with account.services.database.write() as connection:
        assert tokens.create(connection, name, name, False, False, parse_budget(budget))


def submit(account: Account, owner: str | None, folder: Path, ask: str) -> str:
    spec = JobSpec(images=[str(folder)], ask=ask)
    return submitting.submit(account.services, spec, owner=owner).job_id


def test_all_jobs_of_a_token_keep_within_its_budget_and_go_on_when_it_is_raised(
    open_account: Callable[..., Account], make_images
) -> None:
    account = open_account(concurrency=40, rpm=10_000, tpm=10**8)
    account.sandbox.configure(concurrency=40, rpm=10_000, tpm=10**8, reasoning_tokens=DEAR)
    give_token(account, "lab", "0.05/month")
    give_token(account, "shop", "5/day")
    photos = make_images(60)
    jobs = [submit(account, "lab", photos, "What is there?")]
    jobs.append(submit(account, "lab", make_images(60, "more", start=100), "And here?"))
    eventually(lambda: all(stands(account, job) for job in jobs), 60.0)
    assert {account.job(job).status for job in jobs} == {JobStatus.PAUSED}
    assert 0.05 - 0.011 < bill(account.sandbox) <= 0.05
    assert (account.job(jobs[0]).reason or "").startswith("token budget: 0.05 for 20")
    other = [submit(account, "shop", make_images(6, "few", start=900), "?")]
    other.append(submit(account, None, make_images(6, "own", start=800), "?"))
    assert {job.status for job in account.ended(*other)} == {JobStatus.COMPLETED}
    with account.services.database.write() as connection:
        tokens.set_budget(connection, "lab", parse_budget("5/month"))
    assert {job.status for job in account.ended(*jobs)} == {JobStatus.COMPLETED}
    assert account.sandbox.stats()["repeated_paid"] == 0


@on_one_database
def test_a_budget_is_not_passed_by_a_model_without_a_known_price(
    open_account: Callable[..., Account], make_images
) -> None:
    account = open_account(start=False)
    give_token(account, "lab", "5/day")
    spec = JobSpec(images=[str(make_images(1))], ask="?", model="nobody-knows")
    with pytest.raises(WrongUsage, match="no price of nobody-knows is known"):
        submitting.submit(account.services, spec, owner="lab")
    assert submitting.submit(account.services, spec, owner="shop").created


@on_one_database
def test_what_a_token_has_spent_is_not_forgotten_with_its_jobs(
    open_account: Callable[..., Account], make_images
) -> None:
    account = open_account()
    give_token(account, "lab", "0.0001/month")
    give_token(account, "free", "1/month")
    [ended] = account.ended(submit(account, "free", make_images(6), "?"))
    with account.services.database.write() as connection:
        spent = ledger.owner_spent(connection, "free", 0.0)
        assert spent["USD"] > 0
        assert retention.forget_job(connection, ended.id, 1e12)
        assert ledger.owner_spent(connection, "free", 0.0) == spent
        assert ledger.owner_spent(connection, "lab", 0.0) == {}
