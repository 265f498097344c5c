"""What may be forgotten, and forgetting it: ended jobs, and with ``ledger`` their paid replies.

A job goes in three steps, so that a prune that is killed is finished by the next one: its history
in small pieces; the prepared images that no other job refers to (by the caller, between the steps);
then images, nodes, deliveries and the job itself in one transaction, because a job that lost half
its images could be taken up again and would lie. That one takes 0.2 s for 40,000 images;
PostgreSQL locks the job's own rows only, on SQLite other writers wait for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, Label, and_, delete, exists, func, select, true

from core.states import ENDED_JOBS, CallStatus, DeliveryStatus
from models.engine import now
from models.tables import Call, Delivery, Event, Image, Job, Node

PIECE = 5_000
"""Rows that one transaction deletes, where rows may go in pieces."""


@dataclass(frozen=True, slots=True)
class OldJob:
    """An ended job that may go, and what it holds. Calls stay, unless the ledger is pruned too."""

    id: str
    label: str | None
    status: str
    finished_at: float
    images: int
    nodes: int
    events: int
    deliveries: int
    calls: int


def cutoff(connection: Connection, seconds: float) -> float:
    """The moment ``seconds`` ago, by the database's clock."""
    return float(connection.execute(select(now() - seconds)).scalar_one())


def old_jobs(
    connection: Connection,
    before: float,
    label: str | None,
    limit: int,
    after: str = "",
) -> list[OldJob]:
    """Jobs that ended before ``before``, in the order of their ids, those above ``after``."""
    rows = connection.execute(
        select(
            Job.id,
            Job.label,
            Job.status,
            Job.finished_at,
            _held(Image),
            _held(Node),
            _held(Event),
            _held(Delivery),
            _held(Call),
        )
        .where(_may_go(before), _labelled(label), Job.id > after)
        .order_by(Job.id)
        .limit(limit)
    )
    return [OldJob(**row._asdict()) for row in rows]


def only_here(connection: Connection, job_id: str) -> list[str]:
    """Prepared contents (sha256) of a job that no other job's image refers to."""
    other = Image.__table__.alias().c
    elsewhere = exists().where(other.sha256 == Image.sha256, other.job_id != job_id)
    found = select(Image.sha256).where(
        Image.job_id == job_id, Image.sha256.is_not(None), Image.prepared_bytes > 0, ~elsewhere
    )
    return [str(sha) for sha in connection.execute(found.distinct()).scalars()]


def forget_history(connection: Connection, job_id: str, before: float) -> int:
    """Delete up to a piece of an ended job's events; how many there were."""
    piece = (
        select(Event.id)
        .where(Event.job_id == job_id, exists().where(Job.id == job_id, _may_go(before)))
        .order_by(Event.id)
        .limit(PIECE)
    )
    return connection.execute(delete(Event).where(Event.id.in_(piece))).rowcount


def forget_job(connection: Connection, job_id: str, before: float) -> bool:
    """Delete a job with all that goes with it; its calls stay, without it. False: it has been
    taken up again meanwhile, and stays."""
    ended = select(Job.id).where(Job.id == job_id, _may_go(before)).with_for_update()
    if connection.execute(ended).first() is None:
        return False
    for table in (Image, Event, Delivery, Node):  # images first: they refer to nodes
        connection.execute(delete(table).where(table.job_id == job_id))
    connection.execute(delete(Job).where(Job.id == job_id))
    return True


def forget_calls(connection: Connection, before: float, jobs: Sequence[str] | None = None) -> int:
    """Delete up to a piece of the ended calls of ``jobs``, or (None) of those older than ``before``
    whose jobs are gone; how many there were. The same request is paid for again after it."""
    whose = (
        and_(Call.job_id.is_(None), Call.started_at < before)
        if jobs is None
        else Call.job_id.in_(jobs)
    )
    piece = select(Call.id).where(whose, Call.status != CallStatus.STARTED).limit(PIECE)
    return connection.execute(delete(Call).where(Call.id.in_(piece))).rowcount


def orphaned_calls(connection: Connection, before: float) -> int:
    """Ended calls older than ``before`` whose jobs are gone."""
    found = select(func.count()).where(
        Call.job_id.is_(None), Call.started_at < before, Call.status != CallStatus.STARTED
    )
    return connection.execute(found).scalar_one()


def _may_go(before: float) -> ColumnElement[bool]:
    """Ended long enough ago, and whoever asked to be told of it has been told, or given up."""
    untold = exists().where(Delivery.job_id == Job.id, Delivery.status == DeliveryStatus.OPEN)
    return and_(Job.status.in_(ENDED_JOBS), Job.finished_at < before, ~untold)


def _labelled(label: str | None) -> ColumnElement[bool]:
    return true() if label is None else Job.label == label


def _held(table: type[Image | Node | Event | Delivery | Call]) -> Label[int]:
    counted = select(func.count()).where(table.job_id == Job.id).correlate(Job)
    return counted.scalar_subquery().label(table.__tablename__)
