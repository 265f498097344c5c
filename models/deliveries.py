"""Webhook deliveries: opened with their job, claimed when it has ended, retried until delivered.

A delivery notifies one receiver of one job's end. If the job is reopened and ends again, the
receiver is notified again: ``event_at`` is the time of the end that a row is about.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, insert, or_, select, update

from core.states import ENDED_JOBS, DeliveryStatus
from models.engine import now
from models.records import columns_of, record
from models.tables import Delivery, Job


@dataclass(frozen=True, slots=True)
class DeliveryWork:
    """A delivery to make now. ``event_at`` is the time of the job's end."""

    id: int
    job_id: str
    url: str
    event_at: float
    attempts: int

    @property
    def message_id(self) -> str:
        """The same for all attempts for one end, so that a receiver can detect duplicates."""
        return f"msg_{self.id}_{int(self.event_at * 1000)}"


def open_delivery(connection: Connection, job_id: str, url: str) -> None:
    """Ask for a notification of the job's end. Call it in the transaction that writes the job."""
    connection.execute(
        insert(Delivery).values(
            job_id=job_id, url=url, status=DeliveryStatus.OPEN, created_at=now()
        )
    )


def due(connection: Connection, most: int) -> list[tuple[int, str]]:
    """Ids and URLs of up to ``most`` deliveries of ended jobs that nobody makes now. Those that
    were not tried yet come first: receivers that fail hold up only each other."""
    rows = connection.execute(
        select(Delivery.id, Delivery.url)
        .join(Job, Job.id == Delivery.job_id)
        .where(_is_due())
        .order_by(Delivery.attempts, Delivery.due_at, Delivery.id)
        .limit(most)
    )
    return [(row.id, row.url) for row in rows]


def claim(connection: Connection, ids: Sequence[int], seconds: float) -> list[DeliveryWork]:
    """Claim those of ``ids`` that are still due for ``seconds``."""
    rows = connection.execute(
        select(Delivery.id, Delivery.event_at, Delivery.attempts, Job.finished_at)
        .join(Job, Job.id == Delivery.job_id)
        .where(Delivery.id.in_(ids), _is_due())
        .order_by(Delivery.id)
        .with_for_update(skip_locked=True, of=Delivery)
    ).all()
    claimed = []
    for row in rows:
        first_try = row.finished_at > row.event_at
        values = connection.execute(
            update(Delivery)
            .where(Delivery.id == row.id)
            .values(
                status=DeliveryStatus.OPEN,
                event_at=row.finished_at,
                attempts=1 if first_try else row.attempts + 1,
                lease_until=now() + seconds,
            )
            .returning(*columns_of(DeliveryWork, Delivery))
        ).one()
        claimed.append(record(DeliveryWork, values))
    return claimed


def _is_due() -> ColumnElement[bool]:
    again = and_(Delivery.status != DeliveryStatus.OPEN, Job.finished_at > Delivery.event_at)
    return and_(
        Job.status.in_(ENDED_JOBS),
        or_(and_(Delivery.status == DeliveryStatus.OPEN, Delivery.due_at <= now()), again),
        Delivery.lease_until <= now(),
    )


def delivered(connection: Connection, work: DeliveryWork, http_status: int) -> None:
    _record(
        connection,
        work,
        status=DeliveryStatus.DELIVERED,
        http_status=http_status,
        delivered_at=now(),
        error=None,
    )


def postponed(
    connection: Connection,
    work: DeliveryWork,
    after_seconds: float,
    error: str,
    http_status: int | None = None,
) -> None:
    """The delivery failed: retry it later."""
    due_at = now() + after_seconds
    _record(connection, work, due_at=due_at, error=error, http_status=http_status)


def let_go(connection: Connection, work: DeliveryWork) -> None:
    """The job was reopened: release the delivery, which is claimed again at the next end."""
    _record(connection, work)


def given_up(
    connection: Connection, work: DeliveryWork, error: str, http_status: int | None = None
) -> None:
    _record(connection, work, status=DeliveryStatus.FAILED, error=error, http_status=http_status)


def _record(connection: Connection, work: DeliveryWork, **values: object) -> None:
    """Does nothing if another worker has claimed it since: a slow answer may come too late."""
    connection.execute(
        update(Delivery)
        .where(
            Delivery.id == work.id,
            Delivery.event_at == work.event_at,
            Delivery.attempts == work.attempts,
        )
        .values(lease_until=0.0, **values)
    )
