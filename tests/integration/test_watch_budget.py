"""The budget of a watched folder binds what all its jobs cost in a day or a month."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console
from sqlalchemy import update

from core.access import parse_budget
from core.account.budget import Watch, watch_of
from core.errors import WrongUsage
from core.jobs import JobSpec
from core.settings import load
from core.states import JobStatus
from models import ledger, retention
from models.tables import Call
from overstory.commands import watch_folder
from overstory.local import price
from tasks import followups
from tasks import submit as submitting
from tasks.calls.budget import resume_jobs
from tests.support.account import Account, on_one_database
from tests.support.spending import DEAR, bill, stands
from tests.support.waiting import eventually

NAME = "watch:photos"
MONTH = 32 * 86_400.0


def submit(account: Account, folder: Path, budget: str, ask: str = "?") -> str:
    spec = JobSpec(images=[str(folder)], ask=ask)
    watch = Watch(NAME, parse_budget(budget))
    return submitting.submit(account.services, spec, natural=True, watch=watch).job_id


@pytest.mark.slow
def test_all_jobs_of_a_watch_keep_within_its_budget_and_go_on_when_it_is_raised(
    open_account: Callable[..., Account], make_images
) -> None:
    account = open_account(concurrency=40, rpm=10_000, tpm=10**8)
    account.sandbox.configure(concurrency=40, rpm=10_000, tpm=10**8, reasoning_tokens=DEAR)
    folders = [make_images(60), make_images(60, "more", start=100)]
    jobs = [submit(account, folder, "0.05/month") for folder in folders]
    eventually(lambda: all(stands(account, job) for job in jobs), 60.0)
    assert {account.job(job).status for job in jobs} == {JobStatus.PAUSED}
    assert 0.05 - 0.011 < bill(account.sandbox) <= 0.05
    assert (account.job(jobs[0]).reason or "").startswith("watch budget: 0.05 for 20")
    assert resume_jobs(account.services) == 0
    again = [submit(account, folder, "5/month") for folder in folders]
    assert again == jobs
    assert {job.status for job in account.ended(*jobs)} == {JobStatus.COMPLETED}
    assert account.sandbox.stats()["repeated_paid"] == 0


@on_one_database
def test_a_month_is_counted_without_the_last_and_with_what_was_pruned(
    open_account: Callable[..., Account], make_images
) -> None:
    account = open_account()
    few, more = make_images(4), make_images(4, "more", start=50)
    [first] = account.ended(submit(account, few, "1/month"))
    with account.services.database.write() as connection:
        spent = ledger.owner_spent(connection, NAME, 0.0)["USD"]
        assert spent > 0
        assert retention.forget_job(connection, first.id, 1e12)
        assert ledger.owner_spent(connection, NAME, 0.0)["USD"] == spent
    watch = Watch(NAME, parse_budget("1/month"))
    line = watch_folder.spent_line(account.services.settings, watch)
    assert line.startswith("spent of 1/month in 20")
    assert line.endswith(f": {spent:.4f} USD")
    paused = submit(account, more, f"{spent:g}/month")
    eventually(lambda: stands(account, paused))
    assert account.job(paused).status == JobStatus.PAUSED
    assert watch_folder.is_out_of_money(account.job(paused))
    with account.services.database.write() as connection:
        connection.execute(update(Call).values(started_at=Call.started_at - MONTH))
    assert resume_jobs(account.services) == 0  # the reason names this month and this amount
    paid = submit(account, more, f"{spent + 0.05:g}/month")
    assert paid == paused
    assert account.ended(paid)[0].status == JobStatus.COMPLETED


@on_one_database
def test_what_a_person_asks_of_a_watchs_job_is_not_the_watchs(
    open_account: Callable[..., Account], make_images
) -> None:
    account = open_account()
    [job] = account.ended(submit(account, make_images(3), "1/month"))
    assert watch_of(job.options) == Watch(NAME, parse_budget("1/month"))
    asked = followups.ask(account.services, job.id, "And now?").job_id
    assert watch_of(account.job(asked).options) is None


@on_one_database
def test_a_watch_needs_a_price_and_its_budget_agrees_to_it(
    open_account: Callable[..., Account], make_images
) -> None:
    account = open_account(start=False, confirm_above=1e-9)
    spec = JobSpec(images=[str(make_images(1))], ask="?", model="nobody-knows")
    watch = Watch(NAME, parse_budget("1/day"))
    with pytest.raises(WrongUsage, match="no price of nobody-knows is known"):
        submitting.submit(account.services, spec, natural=True, watch=watch)
    job = submit(account, make_images(2, "two"), "1/day")
    services, console = account.services, Console(stderr=True)
    price.agree(services.settings, services.database, job, console, quiet=False, yes=False)


def test_it_waits_until_the_month_is_over(monkeypatch: pytest.MonkeyPatch, own: object) -> None:
    moments = iter([1_796_000_000.0, 1_796_000_001.0, 1_796_083_199.0, 1_796_083_200.0])
    slept: list[float] = []
    said: list[str] = []
    monkeypatch.setattr(watch_folder, "_moment", lambda database: next(moments))
    monkeypatch.setattr(watch_folder.time, "sleep", slept.append)
    watch = Watch(NAME, parse_budget("5/month"))
    watch_folder.wait_for_money(load(), "photos", watch, 0.5, said.append)
    assert slept == [0.5, 0.5]
    [line] = said
    assert line.startswith("photos: nothing is left of 5/month for the next request; watching")
    assert line.endswith("going on after 2026-12-01 00:00 UTC")
