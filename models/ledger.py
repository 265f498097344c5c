"""The calls ledger: a paid request is written before it is sent and settled after.

A settled request answers every later one with the same key, in any job. The same key is in flight
once at most. What was in flight when a worker died becomes ``unknown``: it may have been paid.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    case,
    delete,
    func,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from core.account.budget import Money, Rest
from core.reply import Reply, Usage
from core.states import CallStatus, NodeStatus
from models.claims import Lease, served
from models.engine import now
from models.tables import Call, Job, Node

SENT: ColumnElement[bool] = or_(
    Call.status.not_in([CallStatus.STARTED, CallStatus.FAILED]),
    and_(Call.status == CallStatus.FAILED, Call.http_status.is_not(None)),
)
"""Calls that have reached the provider, or may have: what failed without a word from it was too
late, broke off before all was sent, or found nobody."""


@dataclass(frozen=True, slots=True)
class NewCall:
    """A request about to be sent. ``key`` hashes everything that is asked."""

    key: str
    job_id: str
    node_id: int
    account: str
    model: str
    images: int
    reserved_tokens: int
    currency: str
    reserved_cost: float = 0.0  # the most it may cost


def answered(connection: Connection, key: str, only_job: str | None = None) -> Reply | None:
    """The settled reply to the request ``key``, if it was ever paid for (by ``only_job``)."""
    by_whom = Call.job_id == only_job if only_job else true()
    row = connection.execute(
        select(
            Call.reply,
            Call.finish_reason,
            Call.model,
            Call.trace,
            Call.prompt_tokens,
            Call.cached_tokens,
            Call.completion_tokens,
        )
        .where(Call.key == key, Call.status == CallStatus.SETTLED, by_whom)
        .order_by(Call.id)
        .limit(1)
    ).first()
    if row is None:
        return None
    usage = Usage(row.prompt_tokens, row.cached_tokens, row.completion_tokens)
    return Reply(
        text=row.reply or "",
        reasoning="",
        finish_reason=row.finish_reason or "stop",
        usage=usage,
        trace=row.trace,
        model=row.model,
    )


def open_call(connection: Connection, call: NewCall, lease: Lease) -> int | None:
    """Write ``call`` as started and return its id; None while its twin is in flight elsewhere. Its
    job has been served by it, and is not by waiting for a twin."""
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    call_id = connection.execute(
        dialect.insert(Call)
        .values(
            key=call.key,
            job_id=call.job_id,
            node_id=call.node_id,
            account=call.account,
            model=call.model,
            images=call.images,
            reserved_tokens=call.reserved_tokens,
            reserved_cost=call.reserved_cost,
            currency=call.currency,
            status=CallStatus.STARTED,
            lease_token=lease.token,
            lease_until=now() + lease.seconds,
            started_at=now(),
        )
        .on_conflict_do_nothing()
        .returning(Call.id)
    ).scalar()
    if call_id is not None:
        served(connection, call.job_id, call.reserved_tokens)
    return call_id


def withdraw(connection: Connection, call_id: int) -> None:
    """Forget a call that was written and will not be sent."""
    forgotten = delete(Call).where(Call.id == call_id).returning(Call.job_id, Call.reserved_tokens)
    call = connection.execute(forgotten).one()
    served(connection, call.job_id, -call.reserved_tokens)


def settle(connection: Connection, call_id: int, reply: Reply, cost: float) -> None:
    """The reply is here and paid: store it. A call given up as unknown may still settle late."""
    connection.execute(
        update(Call)
        .where(
            Call.id == call_id,
            or_(Call.status == CallStatus.STARTED, Call.status == CallStatus.UNKNOWN),
        )
        .values(
            status=CallStatus.SETTLED,
            reply=reply.text,
            finish_reason=reply.finish_reason,
            prompt_tokens=reply.usage.prompt_tokens,
            cached_tokens=reply.usage.cached_tokens,
            completion_tokens=reply.usage.completion_tokens,
            cost=cost,
            trace=reply.trace,
            http_status=200,
            settled_at=now(),
        )
    )


def close(
    connection: Connection,
    call_id: int,
    status: CallStatus,
    error: str,
    http_status: int | None = None,
    usage: Usage | None = None,
    cost: float = 0.0,
) -> None:
    """The call ended without a reply worth keeping: refused, failed or unknown.

    ``usage`` and ``cost`` are of a reply that was paid and withheld (content_filter): a call given
    up as unknown takes them late.
    """
    spent = usage or Usage(0, 0, 0)
    takes = [CallStatus.STARTED] if usage is None else [CallStatus.STARTED, CallStatus.UNKNOWN]
    connection.execute(
        update(Call)
        .where(Call.id == call_id, Call.status.in_(takes))
        .values(
            status=status,
            error=error,
            http_status=http_status,
            prompt_tokens=spent.prompt_tokens,
            cached_tokens=spent.cached_tokens,
            completion_tokens=spent.completion_tokens,
            cost=cost,
            settled_at=now(),
        )
    )


def renew(connection: Connection, tokens: Collection[str], seconds: float) -> None:
    """Prolong the calls in flight under ``tokens``."""
    if tokens:
        connection.execute(
            update(Call)
            .where(Call.lease_token.in_(tokens), Call.status == CallStatus.STARTED)
            .values(lease_until=now() + seconds)
        )


def expire_all(connection: Connection) -> int:
    """Mark calls whose worker is gone as unknown; how many there were."""
    return connection.execute(
        update(Call)
        .where(Call.status == CallStatus.STARTED, Call.lease_until <= now())
        .values(status=CallStatus.UNKNOWN, error="the worker was lost", settled_at=now())
    ).rowcount


def money(connection: Connection, job_id: str) -> Money:
    """What a job's calls have cost, and what those in flight hold. A lost call whose cost nobody
    knows may have been paid: it counts as the most it may have cost."""
    lost = and_(Call.status == CallStatus.UNKNOWN, Call.cost == 0.0)
    flying = Call.status == CallStatus.STARTED
    row = connection.execute(
        select(
            func.sum(case((flying, 0.0), (lost, Call.reserved_cost), else_=Call.cost)),
            func.sum(case((flying, Call.reserved_cost), else_=0.0)),
            func.sum(case((lost, Call.reserved_cost), else_=0.0)),
        ).where(Call.job_id == job_id)
    ).one()
    return Money(*(float(sum_ or 0.0) for sum_ in row))


def budget_of(connection: Connection, job_id: str) -> float | None:
    """What a job may cost, as it stands now: it may have been raised since the job was read."""
    options = connection.execute(select(Job.options).where(Job.id == job_id)).scalar_one()
    budget = options.budget
    return None if budget is None else float(budget)


def rest_of(connection: Connection, job_id: str) -> Rest:
    """The calls a job still has before it, and the average cost of those it has paid."""
    open_nodes = (NodeStatus.WAITING, NodeStatus.READY)
    calls = connection.execute(
        select(func.count()).where(Node.job_id == job_id, Node.status.in_(open_nodes))
    ).scalar_one()
    average = connection.execute(
        select(func.avg(Call.cost)).where(Call.job_id == job_id, Call.cost > 0.0)
    ).scalar()
    return Rest(calls, float(average or 0.0))
