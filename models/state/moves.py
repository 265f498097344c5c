"""The moves: guarded UPDATEs with their events rows, and the messages to send after them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Connection, String, bindparam, insert, literal, select, update

from core.errors import RefusalCode
from core.states import IMAGE_MOVES, NODE_MOVES, ImageStatus, NodeKind, NodeStatus
from models.engine import now
from models.records import columns_of, record
from models.tables import Event, Image, Job, Node

FREE = {"lease_token": None, "lease_until": 0.0}
"""Columns of a row that no worker holds."""
MAY_FAIL = tuple(state for state, to in IMAGE_MOVES.items() if ImageStatus.FAILED in to)


@dataclass(slots=True)
class Moved:
    """What a transaction made ready or ended: messages to send after the commit."""

    prepared: int = 0
    pending: int = 0
    leaves: list[int] = field(default_factory=list)
    branches: list[int] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)

    def add(self, other: Moved) -> None:
        """What another transaction moved, too."""
        self.prepared += other.prepared
        self.pending += other.pending
        self.leaves += other.leaves
        self.branches += other.branches
        self.ended += other.ended

    def ready(self, node_id: int, kind: NodeKind) -> None:
        (self.leaves if kind == NodeKind.LEAF else self.branches).append(node_id)


@dataclass(frozen=True, slots=True)
class PreparedImage:
    """The columns that the preprocess stage records."""

    sha256: str
    source_sha256: str | None
    mime: str
    width: int | None
    height: int | None
    prepared_bytes: int
    tokens: int
    remarks: str | None
    facts: Mapping[str, Any] | None = None
    likeness: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class NodeRow:
    job_id: str
    parent_id: int | None
    kind: str
    level: int
    look: int
    first_position: int
    last_position: int
    unit: int | None


# key_share: compatible with the foreign key locks that each new event takes on the row
_HOLD = select(Job.id).where(Job.id == bindparam("job")).with_for_update(key_share=True)


def hold_job(connection: Connection, job_id: str) -> None:
    """Lock a job's row until the transaction ends.

    All transactions must lock in this order, or they deadlock on PostgreSQL: the job, if it may end
    or its images are counted; nodes that are ready or running; images by their ids; nodes that
    wait. A finished slice and the note of a node that is not the root do not lock the job.
    """
    if connection.dialect.name == "postgresql":  # SQLite has one writer anyway
        connection.execute(_HOLD, {"job": job_id})


def node_row(connection: Connection, node_id: int) -> NodeRow:
    query = select(*columns_of(NodeRow, Node)).where(Node.id == node_id)
    return record(NodeRow, connection.execute(query).one())


def move_image(
    connection: Connection, image_id: int, to: ImageStatus, token: str | None, **values: object
) -> bool:
    """Move an image if its state allows it and, with ``token``, if it is held under it."""
    allowed = [state for state, targets in IMAGE_MOVES.items() if to in targets]
    guard = [Image.id == image_id, Image.status.in_(allowed)]
    new = {"status": to, "updated_at": now(), "due_at": 0.0, **FREE, **values}
    job_id = _move(connection, Image, guard, token, new)
    if job_id is not None:
        event(connection, job_id, f"image.{to}", image_id=image_id, detail=values.get("error"))
    return job_id is not None


def move_node(
    connection: Connection, node_id: int, to: NodeStatus, token: str | None, **values: object
) -> bool:
    """Move a node if its state allows it and, with ``token``, if it is held under it."""
    allowed = [state for state, targets in NODE_MOVES.items() if to in targets]
    guard = [Node.id == node_id, Node.status.in_(allowed)]
    job_id = _move(connection, Node, guard, token, {"status": to, "due_at": 0.0, **FREE, **values})
    if job_id is not None:
        event(connection, job_id, f"node.{to}", node_id=node_id, detail=values.get("error"))
    return job_id is not None


def _move(
    connection: Connection,
    table: type[Image | Node],
    guard: list[ColumnElement[bool]],
    token: str | None,
    values: dict[str, Any],
) -> str | None:
    """The job's id if the row moved, else None."""
    if token is not None:
        guard = [*guard, table.lease_token == token]
    move = update(table).where(*guard).values(**values).returning(table.job_id)
    return connection.execute(move).scalar()


def event(
    connection: Connection,
    job_id: str,
    name: str,
    image_id: int | None = None,
    node_id: int | None = None,
    detail: object = None,
) -> None:
    """Write an event of a job, or of its image or node."""
    text = None if detail is None else str(detail)
    values = {"job_id": job_id, "image_id": image_id, "node_id": node_id, "name": name}
    connection.execute(insert(Event).values(at=now(), detail=text, **values))


_IMAGE_EVENTS = insert(Event).from_select(
    ["at", "job_id", "image_id", "name"],
    select(now(), Image.job_id, Image.id, bindparam("event", type_=String)).where(
        Image.id.in_(bindparam("these", expanding=True))
    ),
)


def image_events(connection: Connection, image_ids: Collection[int], status: ImageStatus) -> None:
    """Write one event for each image, in one statement."""
    connection.execute(_IMAGE_EVENTS, {"these": list(image_ids), "event": f"image.{status}"})


def fail_images(
    connection: Connection, which: ColumnElement[bool], code: RefusalCode, reason: str
) -> None:
    """Move locked images that may fail to failed, each with an event, in two statements."""
    events = select(
        now(), Image.job_id, Image.id, literal(f"image.{ImageStatus.FAILED}"), literal(reason)
    )
    columns = ["at", "job_id", "image_id", "name", "detail"]
    connection.execute(insert(Event).from_select(columns, events.where(which)))
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
