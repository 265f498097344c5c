"""The ledger of paid calls: written before, settled after, never paid for twice."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import delete, func, select, update

from core.reply import Usage
from core.states import CallStatus
from models import ledger
from models.ledger import NewCall
from models.reads import inspect, pipeline
from models.tables import Call
from tests.support import jobs
from tests.support.calls import KEY, answered, calls, open_call, reply, settle


@pytest.fixture
def job(database):
    return jobs.submit(database, [1])


def test_the_same_request_is_in_flight_once_at_most(database, job):
    opened = jobs.at_once(lambda _: open_call(database, job), range(16))
    assert sum(call is not None for call in opened) == 1
    assert open_call(database, job, key="x" * 64) is not None


def test_the_same_request_of_another_job_waits_for_the_first(database, job):
    other = jobs.submit(database, [1])
    call = open_call(database, job)
    assert open_call(database, other) is None
    settle(database, call)
    assert answered(database).text == "an answer"


def test_a_settled_request_answers_every_later_one(database, job):
    assert answered(database) is None
    settle(database, open_call(database, job))
    found = answered(database)
    assert (found.text, found.finish_reason) == ("an answer", "stop")
    assert found.usage == Usage(100, 10, 5)
    assert answered(database, key="x" * 64) is None


def test_a_job_with_fresh_takes_only_its_own_answers(database, job):
    settle(database, open_call(database, job))
    assert answered(database, only_job=job) is not None
    assert answered(database, only_job=jobs.submit(database, [1])) is None


@pytest.mark.parametrize("status", [CallStatus.REFUSED, CallStatus.FAILED, CallStatus.UNKNOWN])
def test_an_unanswered_call_gives_no_answer_and_may_be_sent_again(database, job, status):
    call = open_call(database, job)
    with database.write() as connection:
        ledger.close(connection, call, status, "no", 451)
    assert answered(database) is None
    assert open_call(database, job) is not None


def test_an_expired_call_of_a_lost_worker_allows_the_next(database, job):
    open_call(database, job, seconds=0.0)
    assert open_call(database, job) is None  # until the reconciler expires it
    with database.write() as connection:
        assert ledger.expire_all(connection) == 1
    assert open_call(database, job) is not None
    assert [status for status, _ in calls(database, job)] == ["unknown", "started"]


def test_a_late_reply_is_kept_and_used(database, job):
    late = open_call(database, job, seconds=0.0)
    with database.write() as connection:
        assert ledger.expire_all(connection) == 1
        assert ledger.expire_all(connection) == 0
    assert calls(database, job) == [("unknown", None)]
    settle(database, late)
    assert calls(database, job) == [("settled", "an answer")]
    assert answered(database).text == "an answer"


def test_a_late_paid_refusal_is_counted_once(database, job):
    late = open_call(database, job, seconds=0.0)
    with database.write() as connection:
        ledger.expire_all(connection)
        ledger.close(connection, late, CallStatus.FAILED, "no usage, so nothing new is known")
    assert calls(database, job) == [("unknown", None)]
    for _ in range(2):
        with database.write() as connection:
            told = ("withheld", 200, Usage(1000, 0, 100), 0.25)
            ledger.close(connection, late, CallStatus.REFUSED, *told)
    with database.read() as connection:
        used = pipeline.used(connection, job)
        assert ledger.money(connection, job).spent == 0.25
    assert (used.requests, used.prompt_tokens, used.cost) == (1, 1000, 0.25)
    settle(database, late)
    assert calls(database, job) == [("refused", None)]


def test_a_late_reply_settles_beside_its_duplicate_and_after_it(database, job):
    late = open_call(database, job, seconds=0.0)
    with database.write() as connection:
        ledger.expire_all(connection)
    twin = open_call(database, job)
    settle(database, late, reply("late"))
    settle(database, twin, reply("twin"))
    assert calls(database, job) == [("settled", "late"), ("settled", "twin")]
    assert answered(database).text == "late"


def test_a_settled_call_is_never_changed_again(database, job):
    call = open_call(database, job)
    settle(database, call)
    settle(database, call, reply("again", 999, 0, 999))
    with database.write() as connection:
        ledger.close(connection, call, CallStatus.FAILED, "no")
        connection.execute(update(Call).values(lease_until=0.0))
        assert ledger.expire_all(connection) == 0
    assert calls(database, job) == [("settled", "an answer")]


def test_usage_is_the_sum_over_a_jobs_calls(database, job):
    for key in ("a" * 64, "b" * 64):
        settle(database, open_call(database, job, key))
    refused = open_call(database, job, "c" * 64)
    with database.write() as connection:
        usage = Usage(7, 0, 3)
        ledger.close(connection, refused, CallStatus.REFUSED, "no", 451, usage, 0.25)
    open_call(database, job, "d" * 64)
    settle(database, open_call(database, jobs.submit(database, [1]), "e" * 64))
    with database.read() as connection:
        used = pipeline.used(connection, job)
        assert pipeline.settled_and_refused(connection, job) == (2, 1)
    assert (used.requests, used.cost, used.currency) == (3, 1.25, "USD")
    assert (used.prompt_tokens, used.cached_tokens, used.completion_tokens) == (207, 20, 13)


@pytest.mark.parametrize(
    ("status", "http_status", "sent"),
    [
        (CallStatus.FAILED, None, 0),  # admission expired, or no connection was made
        (CallStatus.FAILED, 429, 1),
        (CallStatus.UNKNOWN, None, 1),
        (CallStatus.REFUSED, 451, 1),
    ],
)
def test_a_request_is_counted_if_it_may_have_reached_the_provider(
    database, job, status, http_status, sent
):
    call = open_call(database, job)
    with database.write() as connection:
        ledger.close(connection, call, status, "no", http_status)
    with database.read() as connection:
        assert pipeline.used(connection, job).requests == sent
        assert inspect.job_line(connection, job).requests == sent
        assert [node.requests for node in inspect.nodes(connection, job)] == [sent]


def test_parallel_retries_of_lost_calls_leave_one_in_flight(database, job):
    for number in range(5):
        open_call(database, job, seconds=0.0 if number < 4 else jobs.LONG)
    opened = jobs.at_once(lambda _: open_call(database, job), range(16))
    assert opened == [None] * 16
    with database.read() as connection:
        started = select(func.count()).where(Call.status == CallStatus.STARTED)
        assert connection.execute(started).scalar_one() == 1


# --- a ledger that has forgotten a call: an asynchronous replica became the primary


def forget(database, call):
    with database.write() as connection:
        connection.execute(delete(Call).where(Call.id == call))


def bring(database, call, new, token):
    """What a worker does with a reply that has come."""
    with database.write() as connection:
        if ledger.settle(connection, call, reply(), 0.5, token):
            return False
        return ledger.restore(connection, call, new, token, reply(), 0.5)


def test_a_paid_call_that_was_forgotten_is_written_again(database, job):
    node, lease = jobs.root_of(database, job), jobs.lease(jobs.LONG)
    new = NewCall(KEY, job, node, jobs.ACCOUNT, "m", 1, 200, "USD")
    with database.write() as connection:
        call = ledger.open_call(connection, new, lease)
    forget(database, call)
    assert bring(database, call, new, lease.token) is True
    assert answered(database).text == "an answer"
    assert answered(database).usage == Usage(100, 10, 5)


def test_a_reply_does_not_settle_the_call_that_has_its_id_now(database, job):
    node, lease, other = jobs.root_of(database, job), jobs.lease(9.0), jobs.lease(9.0)
    new = NewCall(KEY, job, node, jobs.ACCOUNT, "m", 1, 200, "USD")
    with database.write() as connection:
        call = ledger.open_call(connection, new, lease)
    forget(database, call)
    with database.write() as connection:
        its = ledger.open_call(connection, replace(new, key="x" * 64), other)
        connection.execute(update(Call).where(Call.id == its).values(id=call))
    assert bring(database, call, new, lease.token) is True
    assert answered(database, key="x" * 64) is None
    assert answered(database).text == "an answer"
    with database.write() as connection:
        ledger.close(connection, call, CallStatus.FAILED, "no", token=lease.token)
    assert sorted(calls(database, job)) == [("settled", "an answer"), ("started", None)]


def test_a_forgotten_job_does_not_keep_its_paid_call_from_the_ledger(database, job):
    lease = jobs.lease(9.0)
    new = NewCall(KEY, "gone", 10**6, jobs.ACCOUNT, "m", 1, 200, "USD")
    assert bring(database, 10**6, new, lease.token) is True
    assert answered(database).text == "an answer"
