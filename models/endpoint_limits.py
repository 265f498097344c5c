"""What each endpoint takes in one request, learned from its refusals and used by every job.

A limit that the endpoint names is taken as it is. Where it only says "too many", the limit is found
by halving, once for the endpoint: one leaf at a time is asked until a request of the new size is
accepted. Everything is forgotten after a week, so that a raised limit is found again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from core.errors import RequestPart
from core.states import CallStatus
from core.tree.capacity import LearnedLimits
from models.engine import now
from models.tables import Call, EndpointLimit, Job

KEPT_SECONDS = 7 * 86_400.0


@dataclass(frozen=True, slots=True)
class Limit:
    """One row, for people."""

    endpoint: str
    model: str
    part: str
    most: int
    named: bool
    proven: bool
    learned_at: float
    message: str

    @property
    def sentence(self) -> str:
        """``vlm takes at most 5 images in one request (the endpoint said so: ...)``."""
        how = "the endpoint said so" if self.named else "found by halving after"
        limit = f"{self.model} takes at most {self.most:,} {self.part} in one request"
        return f"{limit} ({how}: {self.message})"


def learned(connection: Connection, endpoint: str, model: str) -> LearnedLimits:
    """The limits in force for ``model`` at ``endpoint``."""
    rows = connection.execute(
        select(
            EndpointLimit.part, EndpointLimit.most, EndpointLimit.named, EndpointLimit.proven
        ).where(_of(endpoint, model), EndpointLimit.learned_at > now() - KEPT_SECONDS)
    ).all()
    most = {row.part: row.most for row in rows}
    probing = any(r.part == RequestPart.IMAGES and not (r.named or r.proven) for r in rows)
    return LearnedLimits(
        most.get(RequestPart.IMAGES),
        most.get(RequestPart.TOKENS),
        most.get(RequestPart.BYTES),
        probing,
    )


def learn(
    connection: Connection,
    endpoint: str,
    model: str,
    part: RequestPart,
    most: int,
    named: bool,
    message: str,
) -> bool:
    """Record a limit, unless as low a one is in force. True if it was new."""
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    values = {
        "most": most,
        "named": named,
        "proven": False,
        "learned_at": now(),
        "message": message[:500],
    }
    new = dialect.insert(EndpointLimit).values(endpoint=endpoint, model=model, part=part, **values)
    # one statement, because calls in flight are refused at the same moment
    recorded = connection.execute(
        new.on_conflict_do_update(
            index_elements=["endpoint", "model", "part"],
            set_={name: new.excluded[name] for name in values},
            where=or_(
                EndpointLimit.most > new.excluded.most,
                EndpointLimit.learned_at <= now() - KEPT_SECONDS,
            ),
        ).returning(EndpointLimit.part)
    ).first()
    return recorded is not None


def proven(connection: Connection, endpoint: str, model: str) -> None:
    """A request of the probed size was accepted: the halving has ended."""
    images = EndpointLimit.part == RequestPart.IMAGES
    connection.execute(
        update(EndpointLimit).where(_of(endpoint, model), images).values(proven=True)
    )


def is_probed(connection: Connection, endpoint: str, model: str) -> bool:
    """Whether a call that shows images to ``model`` at ``endpoint`` is in flight."""
    in_flight = exists().where(
        Call.status == CallStatus.STARTED,
        Call.images > 0,
        Call.model == model,
        Job.id == Call.job_id,
        Job.endpoint == endpoint,
    )
    return bool(connection.execute(select(in_flight)).scalar())


def forget(connection: Connection) -> int:
    """Forget all learned limits; how many there were."""
    return connection.execute(delete(EndpointLimit)).rowcount


def listed(connection: Connection, endpoint: str) -> Sequence[Limit]:
    """The limits in force at ``endpoint``, for people."""
    rows = connection.execute(
        select(EndpointLimit.__table__)
        .where(
            EndpointLimit.endpoint == endpoint,
            EndpointLimit.learned_at > now() - KEPT_SECONDS,
        )
        .order_by(EndpointLimit.model, EndpointLimit.part)
    ).all()
    return [Limit(**row._asdict()) for row in rows]


def _of(endpoint: str, model: str) -> ColumnElement[bool]:
    return and_(EndpointLimit.endpoint == endpoint, EndpointLimit.model == model)
