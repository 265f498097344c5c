"""Writing a planned job: its row, its images and its tree, in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select
from sqlalchemy.dialects import postgresql, sqlite

from core.states import ImageStatus, JobStatus, NodeKind, NodeStatus
from core.tree import PlannedNode
from models.claims import least_served
from models.engine import now
from models.tables import Event, Image, Job, Node


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job before it has an id in the database."""

    id: str
    key: str
    ask: str
    label: str | None
    model: str
    provider: str
    endpoint: str
    account: str
    detail: str
    weight: float
    options: dict[str, Any]


@dataclass(frozen=True, slots=True)
class NewImage:
    """An image at its place. ``leaf`` is an index into the tree's leaves, None for a duplicate."""

    name: str
    location: str
    page: int | None
    root: str | None
    bytes: int | None
    duplicate_of: int | None
    leaf: int | None


def insert_job(
    connection: Connection, job: NewJob, images: Sequence[NewImage], tree: Sequence[PlannedNode]
) -> bool:
    """Write the whole job; False when its key exists, and nothing is written then.

    ``images`` are in order: the first has position 1. ``tree`` is core.tree's plan, root last.
    """
    if not _insert_job_row(connection, job, len(images)):
        return False
    at = connection.execute(select(now())).scalar_one()
    spans = _spans(images, tree)
    node_ids = _insert_nodes(connection, job.id, tree, spans)
    rows = [
        {
            "job_id": job.id,
            "position": position,
            "node_id": None if image.leaf is None else node_ids[image.leaf],
            "name": image.name,
            "location": image.location,
            "page": image.page,
            "root": image.root,
            "bytes": image.bytes,
            "status": ImageStatus.PENDING if image.leaf is not None else ImageStatus.DUPLICATE,
            "duplicate_of": image.duplicate_of,
            "updated_at": at,
        }
        for position, image in enumerate(images, start=1)
    ]
    connection.execute(insert(Image), rows)
    connection.execute(insert(Event).values(at=at, job_id=job.id, name="job.running"))
    return True


def job_of_key(connection: Connection, key: str) -> str | None:
    """The id of the job with ``key``."""
    return connection.execute(select(Job.id).where(Job.key == key)).scalar()


def _insert_job_row(connection: Connection, job: NewJob, submitted: int) -> bool:
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    images, tokens = least_served(connection)
    row = connection.execute(
        dialect.insert(Job)
        .values(
            id=job.id,
            key=job.key,
            status=JobStatus.RUNNING,
            ask=job.ask,
            label=job.label,
            model=job.model,
            provider=job.provider,
            endpoint=job.endpoint,
            account=job.account,
            detail=job.detail,
            weight=job.weight,
            options=job.options,
            submitted=submitted,
            served_images=images * job.weight,
            served_tokens=tokens * job.weight,
            created_at=now(),
        )
        .on_conflict_do_nothing(index_elements=["key"])
        .returning(Job.id)
    ).first()
    return row is not None


def _spans(images: Sequence[NewImage], tree: Sequence[PlannedNode]) -> list[tuple[int, int, int]]:
    """First position, last position and number of images of each leaf."""
    leaves = sum(node.level == 0 for node in tree)
    positions: list[list[int]] = [[] for _ in range(leaves)]
    for position, image in enumerate(images, start=1):
        if image.leaf is not None:
            positions[image.leaf].append(position)
    return [(below[0], below[-1], len(below)) for below in positions]


def _insert_nodes(
    connection: Connection,
    job_id: str,
    tree: Sequence[PlannedNode],
    spans: Sequence[tuple[int, int, int]],
) -> list[int]:
    """Node ids, parallel to ``tree``. The root goes first, so that children name it."""
    rows = [
        {
            "job_id": job_id,
            "kind": NodeKind.LEAF if node.level == 0 else NodeKind.BRANCH,
            "level": node.level,
            "first_position": spans[node.first][0],
            "last_position": spans[node.last][1],
            "status": NodeStatus.WAITING,
            "pending": spans[node.first][2] if node.level == 0 else node.children,
        }
        for node in tree
    ]
    ids: list[int] = [0] * len(tree)
    for index in reversed(range(len(tree))):
        parent = tree[index].parent
        rows[index]["parent_id"] = None if parent is None else ids[parent]
        ids[index] = connection.execute(
            insert(Node).values(**rows[index]).returning(Node.id)
        ).scalar_one()
    return ids
