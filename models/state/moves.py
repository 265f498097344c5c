"""The moves themselves: guarded UPDATEs with their events row, and what they leave to be sent."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from sqlalchemy import (
    ColumnElement,
    Connection,
    String,
    bindparam,
    insert,
    literal,
    select,
    update,
)

from core.errors import RefusalCode
from core.states import (
    IMAGE_MOVES,
    NODE_MOVES,
    ImageStatus,
    NodeKind,
    NodeStatus,
)
from models.engine import now
from models.tables import Event, Image, Job, Node

FREE = {"lease_token": None, "lease_until": 0.0}
"""What a row looks like that nobody holds."""
MAY_FAIL = tuple(state for state, to in IMAGE_MOVES.items() if ImageStatus.FAILED in to)


@dataclass(slots=True)
class Moved:
    """What a transaction made ready or ended: the messages to send after the commit."""

    prepared: int = 0
    leaves: list[int] = field(default_factory=list)
    branches: list[int] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)

    def ready(self, node_id: int, kind: NodeKind) -> None:
        (self.leaves if kind == NodeKind.LEAF else self.branches).append(node_id)


@dataclass(frozen=True, slots=True)
class PreparedImage:
    """What preprocess records."""

    sha256: str
    source_sha256: str | None
    mime: str
    width: int | None
    height: int | None
    prepared_bytes: int
    tokens: int
    remarks: str | None


@dataclass(frozen=True, slots=True)
class NodeRow:
    job_id: str
    parent_id: int | None
    kind: str
    level: int
    first_position: int
    last_position: int


# key_share: beside the locks that foreign keys take on the row, which every event does
_HOLD = select(Job.id).where(Job.id == bindparam("job")).with_for_update(key_share=True)


def hold_job(connection: Connection, job_id: str) -> None:
    """Lock a job's row until the transaction ends.

    All lock in one order, or two transactions on PostgreSQL wait for each other: the job, where it
    may end or its images are counted; then nodes that are ready or running; images by their ids;
    nodes that wait. A slice that is done and a note that is not the root's need no job.
    """
    if connection.dialect.name == "postgresql":  # SQLite has one writer anyway
        connection.execute(_HOLD, {"job": job_id})


def node_row(connection: Connection, node_id: int) -> NodeRow:
    row = connection.execute(
        select(
            Node.job_id,
            Node.parent_id,
            Node.kind,
            Node.level,
            Node.first_position,
            Node.last_position,
        ).where(Node.id == node_id)
    ).one()
    return NodeRow(*row)


def move_image(
    connection: Connection, image_id: int, to: ImageStatus, token: str | None, **values: object
) -> bool:
    allowed = [state for state, targets in IMAGE_MOVES.items() if to in targets]
    guard = [Image.id == image_id, Image.status.in_(allowed)]
    if token is not None:
        guard.append(Image.lease_token == token)
    row = connection.execute(
        update(Image)
        .where(*guard)
        .values(**{"status": to, "updated_at": now(), "due_at": 0.0, **FREE, **values})
        .returning(Image.job_id)
    ).first()
    if row is not None:
        detail = values.get("error")
        event(
            connection,
            row.job_id,
            f"image.{to}",
            image_id=image_id,
            detail=None if detail is None else str(detail),
        )
    return row is not None


def move_node(
    connection: Connection, node_id: int, to: NodeStatus, token: str | None, **values: object
) -> bool:
    allowed = [state for state, targets in NODE_MOVES.items() if to in targets]
    guard = [Node.id == node_id, Node.status.in_(allowed)]
    if token is not None:
        guard.append(Node.lease_token == token)
    row = connection.execute(
        update(Node)
        .where(*guard)
        .values(**{"status": to, "due_at": 0.0, **FREE, **values})
        .returning(Node.job_id)
    ).first()
    if row is not None:
        detail = values.get("error")
        event(
            connection,
            row.job_id,
            f"node.{to}",
            node_id=node_id,
            detail=None if detail is None else str(detail),
        )
    return row is not None


def event(
    connection: Connection,
    job_id: str,
    name: str,
    image_id: int | None = None,
    node_id: int | None = None,
    detail: str | None = None,
) -> None:
    connection.execute(
        insert(Event).values(
            at=now(), job_id=job_id, image_id=image_id, node_id=node_id, name=name, detail=detail
        )
    )


_IMAGE_EVENTS = insert(Event).from_select(
    ["at", "job_id", "image_id", "name"],
    select(now(), Image.job_id, Image.id, bindparam("event", type_=String)).where(
        Image.id.in_(bindparam("these", expanding=True))
    ),
)


def image_events(connection: Connection, image_ids: Collection[int], status: ImageStatus) -> None:
    """One event an image, in one statement."""
    connection.execute(_IMAGE_EVENTS, {"these": list(image_ids), "event": f"image.{status}"})


def fail_images(
    connection: Connection, which: ColumnElement[bool], code: RefusalCode, reason: str
) -> None:
    """Images that are locked and may fail -> failed, with an event each; two statements, however
    many there are."""
    told = select(
        now(), Image.job_id, Image.id, literal(f"image.{ImageStatus.FAILED}"), literal(reason)
    )
    columns = ["at", "job_id", "image_id", "name", "detail"]
    connection.execute(insert(Event).from_select(columns, told.where(which)))
    connection.execute(
        update(Image)
        .where(which)
        .values(
            status=ImageStatus.FAILED,
            error_code=code,
            error=reason,
            updated_at=now(),
            due_at=0.0,
            **FREE,
        )
    )
