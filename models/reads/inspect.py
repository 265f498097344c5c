"""What people look at, as values: jobs, trees, images, calls and how a job went. Nothing writes.

Apart from models.reads.pipeline, which the pipeline waits for: these may read a whole job.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Integer, case, cast, func, select

from core.account.estimate import OpenNode, PastCall
from core.states import (
    SETTLED_NODES,
    CallStatus,
    ImageStatus,
    JobStatus,
    NodeKind,
    NodeStatus,
)
from models.engine import now
from models.ledger import SENT
from models.tables import Call, Event, Image, Job, Node

WAITING_IMAGES = (ImageStatus.PENDING, ImageStatus.PREPARED, ImageStatus.UPLOADED)


@dataclass(frozen=True, slots=True)
class JobLine:
    """A job as a list shows it. ``seconds``: how long it took, or has taken so far."""

    id: str
    status: JobStatus
    label: str | None
    ask: str
    model: str
    submitted: int
    included: int
    failed: int
    requests: int
    cost: float
    currency: str
    created_at: float
    finished_at: float | None
    seconds: float


@dataclass(frozen=True, slots=True)
class ImageLine:
    """An image with everything a person may want to know of it."""

    position: int
    name: str
    location: str
    page: int | None
    root: str | None
    bytes: int | None
    status: ImageStatus
    error_code: str | None
    error: str | None
    duplicate_of: int | None
    remarks: str | None
    source_sha256: str | None
    sha256: str | None
    width: int | None
    height: int | None
    prepared_bytes: int | None
    tokens: int | None
    attempts: int
    node_id: int | None


@dataclass(frozen=True, slots=True)
class NodeLine:
    """A node of the tree and what its calls came to."""

    id: int
    parent_id: int | None
    kind: NodeKind
    level: int
    first_position: int
    last_position: int
    status: NodeStatus
    text: str | None
    images: int
    refused_citations: int
    error: str | None
    started_at: float | None
    finished_at: float | None
    requests: int
    tokens: int
    cost: float


@dataclass(frozen=True, slots=True)
class CallLine:
    """One request. ``kind``: whether it looked at ``images`` or read notes on them."""

    id: int
    node_id: int | None
    kind: NodeKind | None
    status: CallStatus
    model: str
    images: int
    reserved_tokens: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    cost: float
    currency: str
    finish_reason: str | None
    http_status: int | None
    error: str | None
    trace: str | None
    started_at: float
    settled_at: float | None


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened: an image or a node reached a state."""

    at: float
    name: str
    kind: NodeKind | None  # of the node, where it is one


def jobs(
    connection: Connection,
    statuses: Collection[str] = (),
    label: str | None = None,
    limit: int = 50,
) -> list[JobLine]:
    """The newest jobs first, with their counts as they stand."""
    wanted = select(Job).order_by(Job.created_at.desc(), Job.id).limit(limit)
    if statuses:
        wanted = wanted.where(Job.status.in_(statuses))
    if label is not None:
        wanted = wanted.where(Job.label == label)
    rows = connection.execute(wanted).all()
    ids = [row.id for row in rows]
    counts = _image_counts(connection, ids)
    spent = _spent(connection, ids)
    at = connection.execute(select(now())).scalar_one()
    return [_job_line(row, counts.get(row.id, {}), spent.get(row.id), at) for row in rows]


def _job_line(row: Any, counts: dict[str, int], spent: Any, at: float) -> JobLine:
    return JobLine(
        id=row.id,
        status=JobStatus(row.status),
        label=row.label,
        ask=row.ask,
        model=row.model,
        submitted=row.submitted,
        included=counts.get(ImageStatus.INCLUDED, 0),
        failed=counts.get(ImageStatus.FAILED, 0),
        requests=spent.requests if spent else 0,
        cost=float(spent.cost) if spent else 0.0,
        currency=spent.currency if spent else "USD",
        created_at=row.created_at,
        finished_at=row.finished_at,
        seconds=max((row.finished_at or at) - row.created_at, 0.0),
    )


def _image_counts(connection: Connection, ids: Collection[str]) -> dict[str, dict[str, int]]:
    rows = connection.execute(
        select(Image.job_id, Image.status, func.count())
        .where(Image.job_id.in_(ids))
        .group_by(Image.job_id, Image.status)
    )
    counts: dict[str, dict[str, int]] = {}
    for job_id, status, number in rows:
        counts.setdefault(job_id, {})[status] = number
    return counts


def _spent(connection: Connection, ids: Collection[str]) -> dict[str, Any]:
    rows = connection.execute(
        select(
            Call.job_id,
            func.count(case((SENT, 1))).label("requests"),
            func.sum(Call.cost).label("cost"),
            func.max(Call.currency).label("currency"),
        )
        .where(Call.job_id.in_(ids), Call.status != CallStatus.STARTED)
        .group_by(Call.job_id)
    )
    return {row.job_id: row for row in rows}


def job_line(connection: Connection, job_id: str) -> JobLine:
    """One job that is known to exist, as a list shows it."""
    row = connection.execute(select(Job).where(Job.id == job_id)).one()
    counts = _image_counts(connection, [job_id])
    at = connection.execute(select(now())).scalar_one()
    return _job_line(row, counts.get(job_id, {}), _spent(connection, [job_id]).get(job_id), at)


def job_ids(connection: Connection, start: str, limit: int = 20) -> list[tuple[str, str]]:
    """(id, question) of the newest jobs whose id starts with ``start``."""
    rows = connection.execute(
        select(Job.id, Job.ask)
        .where(Job.id.startswith(start, autoescape=True))
        .order_by(Job.created_at.desc())
        .limit(limit)
    )
    return [(row.id, row.ask) for row in rows]


def images(connection: Connection, job_id: str, statuses: Collection[str] = ()) -> list[ImageLine]:
    """A job's images in order; ``statuses``: only these."""
    names = list(ImageLine.__dataclass_fields__)
    wanted = (
        select(*(getattr(Image, name) for name in names))
        .where(Image.job_id == job_id)
        .order_by(Image.position)
    )
    if statuses:
        wanted = wanted.where(Image.status.in_(statuses))
    rows = connection.execute(wanted)
    return [ImageLine(**{**r._asdict(), "status": ImageStatus(r.status)}) for r in rows]


def nodes(connection: Connection, job_id: str) -> list[NodeLine]:
    """The nodes that count (a split one does not), in the order of their images, root first."""
    spent = (
        select(
            Call.node_id,
            func.count(case((SENT, 1))).label("requests"),
            func.sum(Call.prompt_tokens + Call.completion_tokens).label("tokens"),
            func.sum(Call.cost).label("cost"),
        )
        .where(Call.job_id == job_id, Call.status != CallStatus.STARTED)
        .group_by(Call.node_id)
        .subquery()
    )
    rows = connection.execute(
        select(
            Node.id,
            Node.parent_id,
            Node.kind,
            Node.level,
            Node.first_position,
            Node.last_position,
            Node.status,
            Node.text,
            Node.images,
            Node.refused_citations,
            Node.error,
            Node.started_at,
            Node.finished_at,
            func.coalesce(spent.c.requests, 0).label("requests"),
            func.coalesce(spent.c.tokens, 0).label("tokens"),
            func.coalesce(spent.c.cost, 0.0).label("cost"),
        )
        .outerjoin(spent, spent.c.node_id == Node.id)
        .where(Node.job_id == job_id, Node.status != NodeStatus.SPLIT)
        .order_by(Node.first_position, Node.level.desc(), Node.id)
    )
    return [
        NodeLine(
            **{
                **row._asdict(),
                "kind": NodeKind(row.kind),
                "status": NodeStatus(row.status),
                "tokens": int(row.tokens),
                "cost": float(row.cost),
            }
        )
        for row in rows
    ]


def levels(connection: Connection, job_id: str) -> list[list[NodeStatus]]:
    """The nodes' states in the order of their images, a list a level, the leaves first."""
    rows = connection.execute(
        select(Node.level, Node.status)
        .where(Node.job_id == job_id, Node.status != NodeStatus.SPLIT)
        .order_by(Node.level, Node.first_position)
    )
    found: dict[int, list[NodeStatus]] = {}
    for level, status in rows:
        found.setdefault(level, []).append(NodeStatus(status))
    return list(found.values())


def calls(connection: Connection, job_id: str, failed: bool = False) -> list[CallLine]:
    """A job's requests, oldest first; ``failed``: those that brought no reply."""
    names = [name for name in CallLine.__dataclass_fields__ if name != "kind"]
    wanted = (
        select(Node.kind, *(getattr(Call, name) for name in names))
        .outerjoin(Node, Node.id == Call.node_id)
        .where(Call.job_id == job_id)
        .order_by(Call.started_at, Call.id)
    )
    if failed:
        bad = (CallStatus.REFUSED, CallStatus.FAILED, CallStatus.UNKNOWN)
        wanted = wanted.where(Call.status.in_(bad))
    return [_call_line(row) for row in connection.execute(wanted)]


def _call_line(row: Any) -> CallLine:
    kind = NodeKind(row.kind) if row.kind else None
    return CallLine(**{**row._asdict(), "kind": kind, "status": CallStatus(row.status)})


MOMENTS = ("image.prepared", "image.uploaded", "image.included", "image.failed", "node.done")


def moments(connection: Connection, job_id: str) -> list[Moment]:
    """When a job's images and nodes got on, oldest first."""
    rows = connection.execute(
        select(Event.at, Event.name, Node.kind)
        .outerjoin(Node, Node.id == Event.node_id)
        .where(Event.job_id == job_id, Event.name.in_(MOMENTS))
        .order_by(Event.id)
    )
    return [Moment(at, name, NodeKind(kind) if kind else None) for at, name, kind in rows]


def past_calls(
    connection: Connection, model: str, endpoint: str, last: int = 500
) -> list[PastCall]:
    """The ``last`` paid calls to a model at an endpoint: the best guess at the next ones. One that
    showed no image read notes on all below its node."""
    rows = connection.execute(
        select(
            Node.kind,
            case((Call.images > 0, Call.images), else_=Node.images).label("images"),
            Call.completion_tokens,
            (Call.settled_at - Call.started_at).label("seconds"),
        )
        .join(Node, Node.id == Call.node_id)
        .join(Job, Job.id == Node.job_id)
        .where(
            Call.model == model,
            Job.endpoint == endpoint,
            Call.status == CallStatus.SETTLED,
            Call.settled_at.is_not(None),
        )
        .order_by(Call.id.desc())
        .limit(last)
    )
    return [PastCall(NodeKind(r.kind), r.images, r.completion_tokens, r.seconds) for r in rows]


def open_nodes(connection: Connection, job_id: str) -> list[OpenNode]:
    """What a planned job still has to ask."""
    rows = connection.execute(
        select(Node.id, Node.parent_id, Node.kind, Node.status, Node.text, Node.images)
        .where(Node.job_id == job_id, Node.status != NodeStatus.SPLIT)
        .order_by(Node.level)
    ).all()
    shown = _shown(connection, job_id)
    images: dict[int, int] = {}
    notes: dict[int | None, int] = defaultdict(int)
    pending: dict[int | None, int] = defaultdict(int)
    found = []
    for row in rows:
        own, tokens = shown.get(row.id, (0, 0))
        images[row.id] = (
            row.images if row.status == NodeStatus.DONE else own + images.get(row.id, 0)
        )
        if row.parent_id is not None:
            images[row.parent_id] = images.get(row.parent_id, 0) + images[row.id]
        if row.status == NodeStatus.DONE:
            notes[row.parent_id] += len((row.text or "").encode())
        elif row.status not in SETTLED_NODES:
            pending[row.parent_id] += images[row.id]
            found.append((row, images[row.id], tokens))
    return [
        OpenNode(NodeKind(row.kind), count, tokens, notes[row.id], pending[row.id])
        for row, count, tokens in found
    ]


def _shown(connection: Connection, job_id: str) -> dict[int, tuple[int, int]]:
    """Images that each leaf is going to show, and their tokens as far as they are known."""
    rows = connection.execute(
        select(Image.node_id, func.count(), cast(func.coalesce(func.sum(Image.tokens), 0), Integer))
        .where(Image.job_id == job_id, Image.status.in_(WAITING_IMAGES), Image.node_id.is_not(None))
        .group_by(Image.node_id)
    )
    return {leaf: (count, tokens) for leaf, count, tokens in rows if leaf is not None}
