"""The ledger of calls: a paid request is written before it is sent, and settled afterwards.

A settled request answers every later one with the same key, in any job. Each key is in flight at
most once. A call in flight whose worker died becomes ``unknown``: it may have been paid.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    case,
    delete,
    exists,
    func,
    insert,
    literal,
    not_,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from core.account.budget import Money
from core.errors import FORM_REFUSED
from core.job_options import JobOptions
from core.reply import Reply, Usage
from core.requests.prompt_parts import PromptParts
from core.states import CallStatus, NodeStatus
from core.text.hashing import content_key
from core.text.thoughts import split_thoughts
from models.claims import Lease, served
from models.engine import now
from models.tables import Call, Job, Node

CUT = "length"
"""The finish reason of a reply that took all of its tokens."""
SENT: ColumnElement[bool] = or_(
    Call.status.not_in([CallStatus.STARTED, CallStatus.FAILED]),
    and_(Call.status == CallStatus.FAILED, Call.http_status.is_not(None)),
)
"""Calls that reached the provider, or may have. A call that failed without an HTTP status expired,
broke before all was sent, or could not connect."""


@dataclass(frozen=True, slots=True)
class NewCall:
    """A request about to be sent. ``key``: a hash of everything in it. ``job_id``, ``node_id``:
    None if it belongs to no job."""

    key: str
    job_id: str | None
    node_id: int | None
    account: str
    model: str
    images: int
    reserved_tokens: int
    currency: str
    reserved_cost: float = 0.0  # the most it may cost
    max_tokens: int | None = None  # see ``limited``
    endpoint: str | None = None
    prompt_parts: PromptParts | None = None  # None: not known
    owner: str | None = None  # of its job: a token, or the watch that it is for


def answered(connection: Connection, key: str, only_job: str | None = None) -> Reply | None:
    """The settled reply to the request ``key`` (paid by ``only_job``), or None."""
    paid_by = Call.job_id == only_job if only_job else true()
    row = connection.execute(
        select(
            Call.reply,
            Call.reasoning,
            Call.finish_reason,
            Call.model,
            Call.trace,
            Call.prompt_tokens,
            Call.cached_tokens,
            Call.completion_tokens,
            Call.usage_estimated,
        )
        .where(Call.key == key, Call.status == CallStatus.SETTLED, paid_by)
        .order_by(Call.id)
        .limit(1)
    ).first()
    if row is None:
        return None
    usage = Usage(row.prompt_tokens, row.cached_tokens, row.completion_tokens, row.usage_estimated)
    thoughts, text = split_thoughts(row.reply or "")  # older versions kept both as the reply
    return Reply(
        text=text,
        reasoning=row.reasoning or thoughts,
        finish_reason=row.finish_reason or "stop",
        usage=usage,
        trace=row.trace,
        model=row.model,
    )


def open_call(connection: Connection, call: NewCall, lease: Lease) -> int | None:
    """Write ``call`` as started and return its id; None while a duplicate is in flight. Adds its
    tokens to what its job was served; waiting for a duplicate adds nothing."""
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    columns = {field.name: getattr(call, field.name) for field in fields(call)}
    parts = call.prompt_parts.to_json() if call.prompt_parts else None
    call_id = connection.execute(
        dialect.insert(Call)
        .values(
            **columns | {"prompt_parts": parts},
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
    """Delete a call that was written but will not be sent."""
    deletion = delete(Call).where(Call.id == call_id).returning(Call.job_id, Call.reserved_tokens)
    call = connection.execute(deletion).one()
    served(connection, call.job_id, -call.reserved_tokens)


def limited(connection: Connection, node_id: int) -> bool:
    """Whether a reply to a node was cut short because its job's budget had no room for more."""
    cut = exists().where(
        Call.node_id == node_id, Call.max_tokens.is_not(None), Call.finish_reason == CUT
    )
    return bool(connection.execute(select(cut)).scalar())


def settle(
    connection: Connection, call_id: int, reply: Reply, cost: float, token: str | None = None
) -> bool:
    """Store a paid reply. A call that was marked unknown may still settle late. ``token``: of the
    call's lease. Returns False if no such call waits for a reply.

    A reply that was cut short because of a budget answers no later request: with more room the same
    request has another reply.
    """
    was_limited = and_(Call.max_tokens.is_not(None), literal(reply.finish_reason == CUT))
    key = case((was_limited, content_key(["cut short", call_id])), else_=Call.key)
    updated = connection.execute(
        update(Call)
        .where(
            Call.id == call_id,
            true() if token is None else Call.lease_token == token,
            or_(Call.status == CallStatus.STARTED, Call.status == CallStatus.UNKNOWN),
        )
        .values(
            status=CallStatus.SETTLED,
            key=key,
            reply=reply.text,
            reasoning=reply.reasoning or None,
            finish_reason=reply.finish_reason,
            prompt_tokens=reply.usage.prompt_tokens,
            cached_tokens=reply.usage.cached_tokens,
            completion_tokens=reply.usage.completion_tokens,
            usage_estimated=reply.usage.estimated,
            cost=cost,
            trace=reply.trace,
            http_status=200,
            settled_at=now(),
        )
    )
    return updated.rowcount > 0


def restore(
    connection: Connection, call_id: int, call: NewCall, token: str, reply: Reply, cost: float
) -> bool:
    """Write a paid call again that the ledger has forgotten: a replica that did not have all
    commits became the primary. Its id may belong to another call by now. Returns False if the
    ledger has the call."""
    its_own = exists().where(Call.id == call_id, Call.lease_token == token)
    if connection.execute(select(its_own)).scalar():
        return False
    columns = {field.name: getattr(call, field.name) for field in fields(call)}
    known = {  # the replica may have forgotten its job, too
        "job_id": select(Job.id).where(Job.id == call.job_id).scalar_subquery(),
        "node_id": select(Node.id).where(Node.id == call.node_id).scalar_subquery(),
        "prompt_parts": call.prompt_parts.to_json() if call.prompt_parts else None,
    }
    statement = insert(Call).values(
        **columns | known,
        status=CallStatus.UNKNOWN,
        lease_token=token,
        lease_until=now(),
        started_at=now(),
    )
    restored = connection.execute(statement.returning(Call.id)).scalar_one()
    settle(connection, restored, reply, cost)
    return True


def disbelieve(connection: Connection, key: str) -> None:
    """Let settled replies to the request ``key`` answer no later one: it is asked, and paid, again.
    The tokens and cost of their calls stay."""
    _rename(connection, and_(Call.key == key, Call.status == CallStatus.SETTLED))


def disbelieve_empty(connection: Connection, job_id: str) -> None:
    """The same for the empty replies of a job: asked later, a mended server may answer."""
    is_empty = func.trim(func.coalesce(Call.reply, "")) == ""
    _rename(connection, and_(Call.job_id == job_id, Call.status == CallStatus.SETTLED, is_empty))


def _rename(connection: Connection, calls: ColumnElement[bool]) -> None:
    for call_id, key in connection.execute(select(Call.id, Call.key).where(calls)).all():
        other = content_key(["disbelieved", call_id, key])
        # what was not seen tells nothing of how images count
        values = {"key": other, "prompt_parts": None}
        connection.execute(update(Call).where(Call.id == call_id).values(**values))


def waits_for_text(connection: Connection, job_id: str, node_id: int, shows_images: bool) -> bool:
    """Whether a call of ``node_id`` must wait because the job's replies to requests of this kind
    are all empty so far, or a part of them was refused: then one call at a time is made, all
    attempts at one node first."""
    of_kind = and_(Call.job_id == job_id, Call.images > 0 if shows_images else Call.images == 0)
    error = func.coalesce(Call.error, "")
    settled = and_(of_kind, or_(Call.status == CallStatus.SETTLED, error.startswith(FORM_REFUSED)))
    has_text = func.trim(func.coalesce(Call.reply, "")) != ""
    open_nodes = (NodeStatus.READY, NodeStatus.RUNNING)
    first = (
        select(func.min(Call.node_id))
        .join(Node, Node.id == Call.node_id)
        .where(settled, Node.status.in_(open_nodes))
        .scalar_subquery()
    )
    silent = and_(exists().where(settled), not_(exists().where(settled, has_text)))
    if not connection.execute(select(silent)).scalar():
        return False
    in_flight = exists().where(of_kind, Call.status == CallStatus.STARTED)
    is_busy, asked_first = connection.execute(select(in_flight, first)).one()
    return bool(is_busy) or asked_first not in (None, node_id)


def close(
    connection: Connection,
    call_id: int,
    status: CallStatus,
    error: str,
    http_status: int | None = None,
    usage: Usage | None = None,
    cost: float = 0.0,
    token: str | None = None,
) -> None:
    """The call ended without a usable reply: refused, failed or unknown. ``token``: of its lease.

    ``usage`` and ``cost``: of a reply that was paid but withheld (content_filter). They may arrive
    late, for a call that was marked unknown.
    """
    spent = usage or Usage(0, 0, 0)
    allowed = [CallStatus.STARTED] if usage is None else [CallStatus.STARTED, CallStatus.UNKNOWN]
    connection.execute(
        update(Call)
        .where(
            Call.id == call_id,
            true() if token is None else Call.lease_token == token,
            Call.status.in_(allowed),
        )
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
    """Renew the leases ``tokens`` of calls in flight."""
    if tokens:
        connection.execute(
            update(Call)
            .where(Call.lease_token.in_(tokens), Call.status == CallStatus.STARTED)
            .values(lease_until=now() + seconds)
        )


def expire_all(connection: Connection) -> int:
    """Mark calls whose lease expired as unknown. Returns their number."""
    return connection.execute(
        update(Call)
        .where(Call.status == CallStatus.STARTED, Call.lease_until <= now())
        .values(status=CallStatus.UNKNOWN, error="the worker was lost", settled_at=now())
    ).rowcount


def money(connection: Connection, job_id: str) -> Money:
    """The cost of a job's calls, and what calls in flight reserve. A lost call of unknown cost may
    have been paid, so it counts as its reserved cost."""
    return _money(connection, Call.job_id == job_id)


def account_money(connection: Connection, account: str, currency: str, since: float) -> Money:
    """The same of all calls of an account in ``currency`` that were started ``since`` then."""
    calls = and_(Call.account == account, Call.currency == currency, Call.started_at >= since)
    return _money(connection, calls)


def owner_money(connection: Connection, owner: str, currency: str, since: float) -> Money:
    """The same of all calls of a token's or a watch's jobs."""
    calls = and_(Call.owner == owner, Call.currency == currency, Call.started_at >= since)
    return _money(connection, calls)


def owner_spent(connection: Connection, owner: str, since: float) -> dict[str, float]:
    """What a token's jobs have spent ``since`` then, calls in flight left out, by currency."""
    used = select(Call.currency).where(Call.owner == owner, Call.started_at >= since).distinct()
    return {
        currency: owner_money(connection, owner, currency, since).spent
        for currency in sorted(connection.execute(used).scalars())
    }


def lock_money(connection: Connection, whose: str) -> None:
    """Let no other transaction count the money of an account or a token until this one ends. On
    SQLite a writer is alone anyway."""
    if connection.dialect.name != "sqlite":
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtext(f"money {whose}"))))


def _money(connection: Connection, which: ColumnElement[bool]) -> Money:
    lost = and_(Call.status == CallStatus.UNKNOWN, Call.cost == 0.0)
    in_flight = Call.status == CallStatus.STARTED
    row = connection.execute(
        select(
            func.sum(case((in_flight, 0.0), (lost, Call.reserved_cost), else_=Call.cost)),
            func.sum(case((in_flight, Call.reserved_cost), else_=0.0)),
            func.sum(case((lost, Call.reserved_cost), else_=0.0)),
        ).where(which)
    ).one()
    return Money(*(float(sum_ or 0.0) for sum_ in row))


def reports_usage(connection: Connection, endpoint: str, model: str) -> bool | None:
    """Whether the last reply of ``model`` at ``endpoint`` reported its usage; None without one."""
    estimated = connection.execute(
        select(Call.usage_estimated)
        .join(Job, Job.id == Call.job_id)
        .where(Call.status == CallStatus.SETTLED, Job.endpoint == endpoint, Job.model == model)
        .order_by(Call.id.desc())
        .limit(1)
    ).scalar()
    return None if estimated is None else not estimated


def options_of(connection: Connection, job_id: str) -> JobOptions:
    """The job's current options: its budgets may have been changed since the job was read."""
    return connection.execute(select(Job.options).where(Job.id == job_id)).scalar_one()
