"""A budget against the sandbox: by the sandbox's own bill it is never exceeded."""

from __future__ import annotations

import time
from typing import Any

import pytest
from sqlalchemy import select

from core.account.budget import Money, is_spent
from core.errors import WrongUsage
from core.jobs import JobSpec
from core.states import CallStatus, JobStatus
from models import ledger, state
from models.claims import Lease
from models.ledger import NewCall
from models.state import Moved
from models.tables import Call
from tasks import submit as submitting
from tasks.calls.budget import current_budgets, resume_jobs
from tests.support.account import Account, on_one_database
from tests.support.jobs import submit
from tests.support.spending import DEAR, bill, stands
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow


def raise_budget(account: Account, job: str, budget: float) -> None:
    with account.services.database.write() as connection:
        assert state.job_budgeted(connection, job, budget)


@pytest.mark.parametrize("budget", [0.005, 0.035, 0.1, 0.25])
def test_the_bill_never_exceeds_the_budget_at_concurrency_100(
    open_account,
    make_images,
    budget,
):
    account = open_account(concurrency=100, rpm=10_000, tpm=10**8)
    account.sandbox.configure(
        concurrency=100, rpm=10_000, tpm=10**8, reasoning_tokens=DEAR, hold=budget >= 0.1
    )
    job = account.submit(make_images(240), budget=budget)
    if budget >= 0.1:
        eventually(lambda: account.sandbox.stats()["in_flight"] > 2)
        account.sandbox.configure(hold=False)
    eventually(lambda: stands(account, job), 60.0)
    paused = account.job(job)
    assert paused.status == JobStatus.PAUSED
    assert paused.answer is None
    assert bill(account.sandbox) <= budget
    assert bill(account.sandbox) > budget - 0.011  # the cost of one more call
    seen = account.sandbox.stats()
    counted = account.statuses(job)
    assert counted["included"] == 6 * seen["paid"]
    assert sum(counted.values()) == 240
    assert counted["failed"] == counted["skipped"] == 0


def test_with_a_larger_budget_the_job_continues_and_pays_nothing_twice(open_account, make_images):
    account = open_account(concurrency=20)
    account.sandbox.configure(concurrency=20, reasoning_tokens=DEAR)
    job = account.submit(make_images(60), budget=0.05)
    eventually(lambda: stands(account, job))
    paid = account.sandbox.stats()["paid"]
    assert 0 < paid < 10
    raise_budget(account, job, 1.0)
    [ended] = account.ended(job)
    assert ended.status == JobStatus.COMPLETED
    assert account.statuses(job) == {"included": 60}
    assert account.sandbox.stats()["repeated_paid"] == 0


@on_one_database
def test_another_job_is_served_while_one_jobs_budget_is_in_flight(open_account, make_images):
    account = open_account(concurrency=10, gate_wait_seconds=30.0)
    account.sandbox.configure(concurrency=10, hold=True, reasoning_tokens=0)
    poor = account.submit(make_images(48), budget=0.02)  # one call at a time
    eventually(lambda: account.sandbox.stats()["in_flight"] == 1)
    rich = account.submit(make_images(6, "rich", start=100), ask="And here?")
    eventually(lambda: account.sandbox.stats()["in_flight"] == 2)
    account.sandbox.configure(hold=False)
    account.ended(rich, poor)
    assert bill(account.sandbox) <= 0.02


def limited_calls(account: Account, job: str) -> list[Any]:
    """The finish reasons of calls that were allowed fewer tokens than their requests say."""
    query = select(Call.finish_reason).where(Call.job_id == job, Call.max_tokens.is_not(None))
    with account.services.database.read() as connection:
        return list(connection.execute(query).scalars())


def test_replies_teach_how_much_a_budget_must_hold_back(open_account, make_images):
    account = open_account(concurrency=4)
    account.sandbox.configure(concurrency=4, reasoning_tokens=0)
    account.ended(account.submit(make_images(60)))  # teaches: 11 short replies
    budget = 0.0065  # one call alone may cost 0.0105, and all of them together cost 0.006
    job = account.submit(make_images(60, "more", start=100), ask="And here?", budget=budget)
    [ended] = account.ended(job)
    assert ended.status == JobStatus.COMPLETED
    assert "length" not in limited_calls(account, job)
    assert len(limited_calls(account, job)) == 11
    with account.services.database.read() as connection:
        assert ledger.money(connection, job).spent <= budget


def test_a_reply_longer_than_the_budget_allowed_is_cut_and_asked_again(open_account, make_images):
    account = open_account(concurrency=4)
    account.sandbox.configure(concurrency=4, reasoning_tokens=0)
    account.ended(account.submit(make_images(60)))
    before = bill(account.sandbox)
    account.sandbox.configure(reasoning_tokens=DEAR)  # from now on, what was learned is too little
    job = account.submit(make_images(12, "more", start=100), ask="And here?", budget=0.005)
    eventually(lambda: stands(account, job))
    assert account.job(job).status == JobStatus.PAUSED
    assert 0.0 < bill(account.sandbox) - before <= 0.005
    assert set(limited_calls(account, job)) == {"length"}
    raise_budget(account, job, 1.0)
    [ended] = account.ended(job)
    assert ended.status == JobStatus.COMPLETED
    assert account.statuses(job) == {"included": 12}


def test_two_services_cannot_pass_the_budget_of_their_account_together(open_account, make_images):
    shared = {"api_key": "one-key", "concurrency": 20, "budget_day": 0.05}
    first, second = open_account(**shared), open_account(**shared)
    first.sandbox.configure(concurrency=40, reasoning_tokens=DEAR)
    job = first.submit(make_images(60))
    other = second.submit(make_images(60, "more", start=100), ask="And here?")
    eventually(lambda: stands(first, job) and stands(second, other), 60.0)
    assert {first.job(job).status, first.job(other).status} == {JobStatus.PAUSED}
    assert 0.05 - 0.011 < bill(first.sandbox) <= 0.05
    assert (first.job(job).reason or "").startswith("account budget: 0.05 for 20")
    first.stop()
    second.stop()
    raised = open_account(**shared | {"budget_day": 2.0, "budget_month": 2.0})  # it goes on itself
    ended = raised.ended(job, other)
    assert {row.status for row in ended} == {JobStatus.COMPLETED}
    assert raised.sandbox.stats()["repeated_paid"] == 0


def test_jobs_paused_for_a_day_go_on_when_it_is_over(open_account, make_images):
    account = open_account(start=False, budget_day=0.001)
    services = account.services
    today, yesterday, by_hand = (
        account.submit(make_images(1, f"set{n}", start=10 * n)) for n in range(3)
    )
    [now] = current_budgets(services.settings, time.time())
    [before] = current_budgets(services.settings, time.time() - 86_400.0)
    why = {
        today: now.why(Money(0.001, 0.0), 0.01, "USD"),
        yesterday: before.why(Money(0.001, 0.0), 0.01, "USD"),
        by_hand: "on request",
    }
    with services.database.write() as connection:
        for job, reason in why.items():
            assert state.job_moved(connection, job, JobStatus.PAUSED, reason)
    assert resume_jobs(services) == 1
    assert resume_jobs(services) == 0
    statuses = {job: account.job(job).status for job in why}
    assert statuses == {
        today: JobStatus.PAUSED,
        yesterday: JobStatus.RUNNING,
        by_hand: JobStatus.PAUSED,
    }


@on_one_database
def test_what_an_account_spends_in_the_sandbox_costs_nothing(open_account, make_images):
    account = open_account(budget_day=1e-6, endpoint_name="sandbox")
    [ended] = account.ended(account.submit(make_images(2)))
    assert ended.status == JobStatus.COMPLETED


def test_calls_that_were_cut_off_count_as_paid(open_account, make_images):
    account = open_account(concurrency=1)
    account.sandbox.configure(script=["cut", "cut", "cut"], reasoning_tokens=DEAR)
    job = account.submit(make_images(60), budget=0.06)
    eventually(lambda: stands(account, job), 60.0)
    assert account.job(job).status == JobStatus.PAUSED
    assert account.sandbox.stats()["cut"] == 3
    assert "on lost calls" in (account.job(job).reason or "")
    assert 0.03 < bill(account.sandbox) <= 0.06


def test_a_call_with_a_lost_worker_counts_with_its_highest_possible_cost(database):
    job = submit(database)
    with database.write() as connection:
        for number, (seconds, most) in enumerate([(-1.0, 0.5), (100.0, 0.25)]):
            call = NewCall(f"k{number}", job, None, "account", "m", 1, 100, "USD", most)  # type: ignore[arg-type]
            assert ledger.open_call(connection, call, Lease(f"lease{number}", seconds))
        assert ledger.money(connection, job) == ledger.Money(0.0, 0.75)
        assert ledger.expire_all(connection) == 1
        assert ledger.money(connection, job) == ledger.Money(0.5, 0.25, 0.5)


@on_one_database
def test_a_paused_account_and_a_spent_budget_have_different_reasons(open_account, make_images):
    account = open_account(concurrency=1)
    account.sandbox.configure(reasoning_tokens=DEAR)
    poor = account.submit(make_images(60), budget=0.03)
    eventually(lambda: stands(account, poor))
    account.sandbox.configure(no_balance=True)
    rich = account.submit(make_images(6, "rich", start=100), ask="And here?")
    eventually(lambda: account.job(rich).status == JobStatus.PAUSED)
    account.sandbox.configure(no_balance=False)
    account.ended(rich)
    assert account.job(poor).status == JobStatus.PAUSED
    assert is_spent("paused", account.job(poor).reason)
    with account.services.database.write() as connection:
        assert state.job_cancelled(connection, poor, Moved())


def test_the_same_submission_with_a_larger_budget_continues_the_job(open_account, make_images):
    account = open_account()
    account.sandbox.configure(reasoning_tokens=DEAR)
    photos = make_images(18)
    first = account.submit(photos, key="mine", budget=0.005)
    eventually(lambda: stands(account, first))
    assert account.submit(photos, key="mine", budget=1.0) == first
    [ended] = account.ended(first)
    assert ended.status == JobStatus.COMPLETED
    assert ended.options.budget == 1.0


def test_the_budget_is_not_part_of_a_jobs_identity(open_account, make_images):
    account = open_account(start=False)
    services = account.services
    photos = str(make_images(2))

    def natural(**given: Any) -> str:
        spec = JobSpec(images=[photos], ask="?", **given)
        return submitting.submit(services, spec, natural=True).job_id

    job = natural()
    assert natural(budget=1.0) == natural(budget=2.0) == job
    assert account.job(job).options.budget == 2.0


def test_a_budget_without_a_price_is_refused(open_account, make_images):
    account = open_account(start=False)
    with pytest.raises(WrongUsage, match="no price of llava is known"):
        account.submit(make_images(1), model="llava", budget=1.0)


def test_every_call_is_recorded_with_its_highest_possible_cost(open_account, make_images):
    account = open_account()
    account.ended(account.submit(make_images(13)))
    with account.services.database.read() as connection:
        rows = connection.execute(select(Call.status, Call.cost, Call.reserved_cost)).all()
    assert len(rows) == 4
    assert all(row.status == CallStatus.SETTLED for row in rows)
    assert all(0 < row.cost < row.reserved_cost for row in rows)
