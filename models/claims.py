"""Claims: who may work on what, decided by one guarded UPDATE with a lease.

Which job is served next is decided here too: the running job that has been served least for its
weight (fair queueing by what was used, not by what waits), then the older one. A new job starts
level with the least served one, so it neither waits behind a backlog nor pushes others aside.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Double,
    Integer,
    and_,
    bindparam,
    exists,
    func,
    or_,
    select,
    update,
)

from core.job_options import JobOptions
from core.states import ImageStatus, JobStatus, NodeKind, NodeStatus
from models.engine import now
from models.state import hold_job
from models.tables import File, Image, Job, Node


@dataclass(frozen=True, slots=True)
class ImageWork:
    """An image as a stage needs it."""

    id: int
    job_id: str
    position: int
    name: str
    location: str
    page: int | None
    root: str | None
    sha256: str | None
    mime: str | None
    prepared_bytes: int | None
    attempts: int
    detail: str
    options: JobOptions


@dataclass(frozen=True, slots=True)
class NodeWork:
    """A node as a stage needs it."""

    id: int
    job_id: str
    parent_id: int | None
    kind: str
    level: int
    first_position: int
    last_position: int
    tokens: int
    attempts: int
    ask: str
    model: str
    provider: str
    endpoint: str
    detail: str
    options: JobOptions
    started_at: float | None


@dataclass(frozen=True, slots=True)
class Lease:
    """A claim's token and its length in seconds. Whoever holds the token may record."""

    token: str
    seconds: float


def _served_by(account: str | BindParameter[str]) -> ColumnElement[bool]:
    return and_(Job.status == JobStatus.RUNNING, Job.account == account)


# The image stages' statements are built once: building one takes longer than running it, and these
# are run for every slice.
_FREE = and_(
    Image.status == bindparam("in_status"),
    Image.due_at <= now(),
    or_(Image.lease_token.is_(None), Image.lease_until <= now()),
    Image.attempts < bindparam("attempts_most"),
)
_NEXT_JOB = (
    select(Job.id, Job.detail, Job.options)
    .where(
        _served_by(bindparam("for_account")),
        exists().where(Image.job_id == Job.id, _FREE),
    )
    .order_by(Job.served_images / Job.weight, Job.created_at)
    .limit(1)
)
_TRIED = (
    select(Image.id)
    .where(Image.job_id == bindparam("of_job"), _FREE)
    .order_by(Image.position)
    .limit(bindparam("at_most", type_=Integer))
    .with_for_update(skip_locked=True)
)
_FRESH = _TRIED.where(Image.attempts == 0)
_TAKE = (
    update(Image)
    .where(Image.id.in_(bindparam("these", expanding=True)), _FREE)
    .values(
        lease_token=bindparam("token"),
        lease_until=now() + bindparam("seconds", type_=Double),
        attempts=Image.attempts + 1,
    )
    .returning(
        Image.id,
        Image.job_id,
        Image.position,
        Image.name,
        Image.location,
        Image.page,
        Image.root,
        Image.sha256,
        Image.mime,
        Image.prepared_bytes,
        Image.attempts,
    )
)
_SERVED = (
    update(Job)
    .where(Job.id == bindparam("of_job"))
    .values(served_images=Job.served_images + bindparam("more", type_=Integer))
)
_DUE = select(func.count()).select_from(
    select(Image.id)
    .join(Job, Job.id == Image.job_id)
    .where(_served_by(bindparam("for_account")), _FREE)
    .limit(bindparam("at_most", type_=Integer))
    .subquery()
)


def claim_images(
    connection: Connection,
    account: str,
    status: ImageStatus,
    lease: Lease,
    limit: int,
    attempts_max: int,
) -> list[ImageWork]:
    """Up to ``limit`` images of one job in ``status``, lowest positions first."""
    free = {"in_status": status, "attempts_most": attempts_max}
    job = connection.execute(_NEXT_JOB, {"for_account": account, **free}).first()
    if job is None:
        return []
    hold_job(connection, job.id)
    asked = {"of_job": job.id, **free}
    ids = connection.execute(_FRESH, {"at_most": limit, **asked}).scalars().all()
    if not ids:  # what was tried before comes last and alone: if it kills its worker, nobody pays
        ids = connection.execute(_TRIED, {"at_most": 1, **asked}).scalars().all()
    held = {"token": lease.token, "seconds": lease.seconds}
    rows = connection.execute(_TAKE, {"these": ids, **held, **free}).all()
    connection.execute(_SERVED, {"of_job": job.id, "more": len(rows)})
    work = [ImageWork(**row._asdict(), detail=job.detail, options=job.options) for row in rows]
    return sorted(work, key=lambda image: image.position)


def next_node(
    connection: Connection, account: str, kind: NodeKind, without: Collection[str] = ()
) -> NodeWork | None:
    """The node of ``kind`` that deserves the account's next call, unclaimed; None if none is due.

    Branches come highest first: the nearer to the root, the sooner somebody has an answer. Jobs
    in ``without`` are passed over.
    """
    row = connection.execute(
        select(
            Node.id,
            Node.job_id,
            Node.parent_id,
            Node.kind,
            Node.level,
            Node.first_position,
            Node.last_position,
            Node.tokens,
            Node.attempts,
            Job.ask,
            Job.model,
            Job.provider,
            Job.endpoint,
            Job.detail,
            Job.options,
            Node.started_at,
        )
        .join(Job, Job.id == Node.job_id)
        .where(
            _served_by(account),
            Job.id.not_in(without),
            Node.status == NodeStatus.READY,
            Node.kind == kind,
            Node.due_at <= now(),
        )
        .order_by(
            Job.served_tokens / Job.weight,
            Job.created_at,
            Node.level.desc(),
            Node.first_position,
        )
        .limit(1)
    ).first()
    return None if row is None else NodeWork(**row._asdict())


def claim_node(connection: Connection, node: NodeWork, lease: Lease, tokens: int) -> bool:
    """Take ``node`` for a call of about ``tokens`` tokens; False when somebody else has it."""
    runs = select(Job.id).where(Job.id == node.job_id, Job.status == JobStatus.RUNNING)
    if connection.execute(runs.with_for_update(key_share=True)).first() is None:
        return False
    claimed = connection.execute(
        update(Node)
        .where(Node.id == node.id, Node.status == NodeStatus.READY)
        .values(
            status=NodeStatus.RUNNING,
            lease_token=lease.token,
            lease_until=now() + lease.seconds,
            attempts=Node.attempts + 1,
            tokens=tokens,
            started_at=func.coalesce(Node.started_at, now()),
        )
    ).rowcount
    return bool(claimed)


def served(connection: Connection, job_id: str | None, tokens: int) -> None:
    """Count ``tokens`` as had by a job; negative ones were not had after all."""
    connection.execute(
        update(Job).where(Job.id == job_id).values(served_tokens=Job.served_tokens + tokens)
    )


def renew_images(connection: Connection, tokens: Collection[str], seconds: float) -> None:
    """Prolong the slices held under ``tokens``: their images, and the uploads among their files."""
    if tokens:
        for table in (Image, File):
            # a row that somebody has locked is being recorded and needs the lease no more
            held = (
                select(table.id)
                .where(table.lease_token.in_(tokens))
                .order_by(table.id)
                .with_for_update(skip_locked=True)
            )
            connection.execute(
                update(table)
                .where(table.id.in_(held.scalar_subquery()))
                .values(lease_until=now() + seconds)
            )


def renew_nodes(connection: Connection, tokens: Collection[str], seconds: float) -> None:
    """Prolong the nodes held under ``tokens``."""
    if tokens:
        held = (
            select(Node.id)
            .where(Node.lease_token.in_(tokens))
            .with_for_update(key_share=True, skip_locked=True)  # as of the images
        )
        connection.execute(
            update(Node)
            .where(Node.id.in_(held.scalar_subquery()))
            .values(lease_until=now() + seconds)
        )


def least_served(connection: Connection, account: str) -> tuple[float, float]:
    """Images and tokens that the account's least served running job has had: where its next job
    starts."""
    row = connection.execute(
        select(
            func.min(Job.served_images / Job.weight), func.min(Job.served_tokens / Job.weight)
        ).where(_served_by(account))
    ).one()
    return float(row[0] or 0.0), float(row[1] or 0.0)


def waiting_work(connection: Connection, account: str, limit: int) -> dict[str, int]:
    """Units due now and claimed by nobody, at most ``limit`` each, by the stage that does them."""
    counts = {
        "preprocess": count_images(connection, account, ImageStatus.PENDING, limit),
        "upload": count_images(connection, account, ImageStatus.PREPARED, limit),
        "infer": count_nodes(connection, account, NodeKind.LEAF, limit),
        "aggregate": count_nodes(connection, account, NodeKind.BRANCH, limit),
    }
    return {stage: count for stage, count in counts.items() if count}


def count_images(connection: Connection, account: str, status: ImageStatus, limit: int) -> int:
    """Images in ``status`` that are due now and claimed by nobody, counted up to ``limit``."""
    counted = {"for_account": account, "in_status": status, "attempts_most": 1_000_000}
    return connection.execute(_DUE, {"at_most": limit, **counted}).scalar_one()


def count_nodes(connection: Connection, account: str, kind: NodeKind, limit: int) -> int:
    """Nodes of ``kind`` that are due now, counted up to ``limit``."""
    due = and_(Node.status == NodeStatus.READY, Node.due_at <= now())
    return _count_nodes(connection, account, kind, due, limit)


def open_leaves(connection: Connection, account: str, limit: int) -> int:
    """Leaves of running jobs that are to be asked, now or when their images are there; counted up
    to ``limit``."""
    is_open = Node.status.in_([NodeStatus.WAITING, NodeStatus.READY])
    return _count_nodes(connection, account, NodeKind.LEAF, is_open, limit)


def _count_nodes(
    connection: Connection, account: str, kind: NodeKind, which: ColumnElement[bool], limit: int
) -> int:
    found = (
        select(Node.id)
        .join(Job, Job.id == Node.job_id)
        .where(_served_by(account), Node.kind == kind, which)
        .limit(limit)
    )
    return connection.execute(select(func.count()).select_from(found.subquery())).scalar_one()
