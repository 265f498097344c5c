"""Writing a planned job: its row, its images and its tree, in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import islice
from typing import Any

from sqlalchemy import Connection, and_, bindparam, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from core.images.exif import GPS, TAKEN
from core.job_options import JobOptions
from core.states import UNSETTLED_IMAGES, ImageStatus, JobStatus, NodeKind, NodeStatus
from core.tree.plan import PlannedNode
from models import state
from models.claims import least_served
from models.engine import now
from models.reads.lineage import KeptNode, KnownImage
from models.state import Moved
from models.tables import Event, Image, Job, Node, Unit

ROWS_AT_ONCE = 2_000
"""A row that is written takes three times as much memory as its image."""

COUNTED_FROM = 20_000
"""PostgreSQL counts its tables anew in the transaction that writes so many images. By itself it
does so a minute later. Until then its plans are for small tables: claims took up to 50 seconds
after a first job of 800,000."""


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
    options: JobOptions
    family: str | None = None
    follows: str | None = None
    reason: str | None = None  # why it begins paused; None: it begins running
    owner: str | None = None  # name of a token
    comparing: bool = False  # it has no tree yet: its images are compared first


@dataclass(frozen=True, slots=True)
class NewImage:
    """A new job's image. ``leaf`` is an index into the tree's leaves, None for a duplicate, for an
    image that is left out, and before the tree is planned.

    ``known``: what an earlier job recorded about it, and the status it begins with. ``unit``: the
    number of its unit, in a job by units.
    """

    name: str
    location: str
    page: int | None
    root: str | None
    bytes: int | None
    duplicate_of: int | None
    leaf: int | None
    changed_ns: int | None = None
    version: str | None = None
    facts: Mapping[str, Any] | None = None
    unit: int | None = None
    known: KnownImage | None = None

    @property
    def status(self) -> ImageStatus:
        if self.leaf is None and self.duplicate_of is not None:
            return ImageStatus.DUPLICATE
        return ImageStatus.PENDING if self.known is None else self.known.status

    @property
    def all_facts(self) -> dict[str, Any] | None:
        """Its facts, and what was read from the picture when an earlier job prepared it."""
        before = (self.known and self.known.facts) or {}
        read = {name: before[name] for name in (TAKEN, GPS) if name in before}
        return {**read, **(self.facts or {})} or None


@dataclass(frozen=True, slots=True)
class NewUnit:
    """A new job's unit, with the answer that was taken over, if there is one. ``duplicate_of``: the
    number of an earlier unit with the same images."""

    name: str
    duplicate_of: int | None = None
    answer: Any = None


def insert_job(
    connection: Connection,
    job: NewJob,
    images: Sequence[NewImage],
    tree: Sequence[PlannedNode],
    kept: Sequence[KeptNode | None] = (),
    moved: Moved | None = None,
    units: Sequence[NewUnit] = (),
) -> bool:
    """Write the whole job. Returns False, and writes nothing, if its key exists.

    ``images`` are in order: the first has position 1. ``tree`` is core.tree.plan's plan, root last.
    ``kept``, parallel to ``tree``: texts from an earlier job, which cite positions of this one.
    Nodes that wait for nothing are opened at once and recorded in ``moved``. ``units`` are in
    order: the first has number 1.
    """
    if not _insert_job_row(connection, job, len(images)):
        return False
    at = connection.execute(select(now())).scalar_one()
    kept = kept or [None] * len(tree)
    node_ids = _insert_nodes(connection, job.id, _node_rows(images, tree, kept, at), tree)
    rows = (
        {
            "job_id": job.id,
            "position": position,
            "node_id": None if image.leaf is None else node_ids[image.leaf],
            "name": image.name,
            "location": image.location,
            "page": image.page,
            "root": image.root,
            "bytes": image.bytes,
            "changed_ns": image.changed_ns,
            "version": image.version,
            "facts": image.all_facts,
            "unit": image.unit,
            **_known_values(image.known),
            "status": image.status,
            "duplicate_of": image.duplicate_of,
            "updated_at": at,
        }
        for position, image in enumerate(images, start=1)
    )
    while some := list(islice(rows, ROWS_AT_ONCE)):
        connection.execute(insert(Image), some)
    if len(images) >= COUNTED_FROM and connection.dialect.name == "postgresql":
        connection.exec_driver_sql("ANALYZE images, nodes")
    if units:
        numbered = [
            {"job_id": job.id, "number": number, **asdict(unit)}
            for number, unit in enumerate(units, start=1)
        ]
        connection.execute(insert(Unit), numbered)
    event = f"job.{_first_status(job)}"
    connection.execute(insert(Event).values(at=at, job_id=job.id, name=event, detail=job.reason))
    if any(kept):
        _tell_continued(connection, job.id, job.follows, kept)
        _open_or_end(connection, job.id, kept, moved or Moved())
    return True


def insert_tree(
    connection: Connection,
    job_id: str,
    follows: str | None,
    images: Sequence[NewImage],
    tree: Sequence[PlannedNode],
    kept: Sequence[KeptNode | None],
    moved: Moved,
) -> None:
    """Write the tree of a job whose images are there and compared. The job must be locked.

    ``images``, by position, are as their rows are, or in a kept leaf as an earlier job had them.
    Nodes that wait for nothing are opened, or failed if no image below them can be used.
    """
    at = connection.execute(select(now())).scalar_one()
    node_ids = _insert_nodes(connection, job_id, _node_rows(images, tree, kept, at), tree)
    leaves: dict[int, list[int]] = {}
    for position, image in enumerate(images, start=1):
        if image.leaf is not None:
            leaves.setdefault(image.leaf, []).append(position)
    for leaf, positions in leaves.items():
        these = and_(Image.job_id == job_id, Image.position.in_(positions))
        connection.execute(update(Image).where(these).values(node_id=node_ids[leaf]))
    rows = [
        {"of_job": job_id, "at": position, "status": image.status, **_known_values(image.known)}
        for position, image in enumerate(images, start=1)
        if image.leaf is not None and kept[image.leaf] is not None
    ]
    if rows:
        of_row = and_(Image.job_id == bindparam("of_job"), Image.position == bindparam("at"))
        values: dict[str, Any] = {
            name: bindparam(name) for name in rows[0] if name not in ("of_job", "at")
        }
        connection.execute(update(Image).where(of_row).values(**values, updated_at=now()), rows)
        _tell_continued(connection, job_id, follows, kept)
    _open_or_end(connection, job_id, kept, moved)


def _first_status(job: NewJob) -> JobStatus:
    return JobStatus.PAUSED if job.reason else JobStatus.RUNNING


def _known_values(known: KnownImage | None) -> dict[str, Any]:
    """Columns from an earlier job, with the same names for every row of an executemany."""
    return {"look": 1} | {
        name: getattr(known, name) if known else None for name in _KNOWN if known or name != "look"
    }


_KNOWN = [f.name for f in fields(KnownImage) if f.name not in ("position", "status", "facts")]


def _tell_continued(
    connection: Connection, job_id: str, follows: str | None, kept: Sequence[KeptNode | None]
) -> None:
    count = sum(text is not None for text in kept)
    detail = f"{count} of {len(kept)} nodes taken over from job {follows}"
    connection.execute(
        insert(Event).values(at=now(), job_id=job_id, name="job.continued", detail=detail)
    )


def _open_or_end(
    connection: Connection, job_id: str, kept: Sequence[KeptNode | None], moved: Moved
) -> None:
    """Open the nodes that wait for nothing, leaves first. End a job whose root is kept."""
    waiting = connection.execute(
        select(Node.id, Node.kind)
        .where(Node.job_id == job_id, Node.status == NodeStatus.WAITING, Node.pending == 0)
        .order_by(Node.level)
    ).all()
    for node in waiting:
        state.open_node(connection, node.id, node.kind, moved)
    if kept[-1] is not None:
        state.finish(connection, job_id, moved)


def job_of_key(connection: Connection, key: str) -> str | None:
    """The id of the job with ``key``, or None."""
    return connection.execute(select(Job.id).where(Job.key == key)).scalar()


def _insert_job_row(connection: Connection, job: NewJob, submitted: int) -> bool:
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    images, tokens = least_served(connection, job.account)
    row = connection.execute(
        dialect.insert(Job)
        .values(
            **{field.name: getattr(job, field.name) for field in fields(job)},
            status=_first_status(job),
            submitted=submitted,
            served_images=images * job.weight,
            served_tokens=tokens * job.weight,
            created_at=now(),
            idle_since=now() if job.reason else None,
        )
        .on_conflict_do_nothing(index_elements=["key"])
        .returning(Job.id)
    ).first()
    return row is not None


def _node_rows(
    images: Sequence[NewImage],
    tree: Sequence[PlannedNode],
    kept: Sequence[KeptNode | None],
    at: float,
) -> list[dict[str, Any]]:
    """The columns of each node's row except its parent, parallel to ``tree``."""
    positions: list[list[int]] = [[] for node in tree if node.level == 0]
    unsettled = [0] * len(positions)
    for position, image in enumerate(images, start=1):
        if image.leaf is not None:
            positions[image.leaf].append(position)
            unsettled[image.leaf] += image.status in UNSETTLED_IMAGES
    open_children = [0] * len(tree)
    for node, text in zip(tree, kept, strict=True):
        if node.parent is not None and text is None:
            open_children[node.parent] += 1
    return [
        {
            "kind": NodeKind.LEAF if node.level == 0 else NodeKind.BRANCH,
            "level": node.level,
            "unit": node.unit,
            "first_position": min(some[0] for some in positions[node.first : node.last + 1]),
            "last_position": max(some[-1] for some in positions[node.first : node.last + 1]),
            "pending": unsettled[node.first] if node.level == 0 else open_children[index],
            **_kept_values(kept[index], at),
        }
        for index, node in enumerate(tree)
    ]


def _kept_values(text: KeptNode | None, at: float) -> dict[str, Any]:
    if text is None:
        return {"status": NodeStatus.WAITING}
    return {"status": NodeStatus.DONE, **asdict(text), "finished_at": at}


def _insert_nodes(
    connection: Connection, job_id: str, rows: Sequence[dict[str, Any]], tree: Sequence[PlannedNode]
) -> list[int]:
    """Node ids, parallel to ``tree``. The root is inserted first, because children refer to it."""
    ids: list[int] = [0] * len(tree)
    for index in reversed(range(len(tree))):
        parent = tree[index].parent
        above = None if parent is None else ids[parent]
        ids[index] = connection.execute(
            insert(Node).values(job_id=job_id, parent_id=above, **rows[index]).returning(Node.id)
        ).scalar_one()
    return ids
