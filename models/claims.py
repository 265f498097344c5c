"""Claims of work: one guarded UPDATE gives a worker a lease on images or a node.

Claims also choose the next job: the running job with the least served for its weight (fair queueing
by what was used, not by what waits), then the older one. A new job starts level with the least
served one, so it neither waits behind a backlog nor displaces others.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Double,
    Integer,
    String,
    and_,
    bindparam,
    exists,
    func,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy import text as sql

from core.catalog.tokens import detail_at
from core.job_options import JobOptions
from core.stages import PREPROCESS, STAGES, Stage
from core.states import ImageStatus, JobStatus, NodeKind, NodeStatus
from models.engine import now
from models.partial_indexes import LEASED_FILE, READY, RUNNING, TRIED
from models.records import columns_of, record
from models.state import FREE, hold_job
from models.tables import File, Image, Job, Node


@dataclass(frozen=True, slots=True)
class ImageWork:
    """A claimed image, as a stage needs it."""

    id: int
    job_id: str
    position: int
    name: str
    location: str
    page: int | None
    root: str | None
    version: str | None
    sha256: str | None
    mime: str | None
    prepared_bytes: int | None
    attempts: int
    look: int
    endpoint: str
    model: str
    detail: str
    options: JobOptions
    facts: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class NodeWork:
    """A node to ask, as a stage needs it."""

    id: int
    job_id: str
    parent_id: int | None
    kind: str
    level: int
    first_position: int
    last_position: int
    tokens: int
    attempts: int
    look: int
    ask: str
    model: str
    provider: str
    endpoint: str
    detail: str
    options: JobOptions
    started_at: float | None
    owner: str | None
    unit: int | None = None  # its number, where the node is about a part of one unit alone


@dataclass(frozen=True, slots=True)
class Lease:
    """A claim's token and its length in seconds. Only the token's holder may record results."""

    token: str
    seconds: float


def _served_by(account: str | BindParameter[str]) -> ColumnElement[bool]:
    return and_(Job.status == JobStatus.RUNNING, Job.account == account)


def _goes_on(status: BindParameter[str]) -> ColumnElement[bool]:
    """A job that still compares its images uploads none of them."""
    return or_(status != ImageStatus.PREPARED, Job.comparing.is_(False))


# Built once: building a statement takes longer than running it, and these run for every slice.
_FREE = and_(
    Image.status == bindparam("in_status"),
    Image.due_at <= now(),
    or_(Image.lease_token.is_(None), Image.lease_until <= now()),
    Image.attempts < bindparam("attempts_most"),
)
_RANKED = (
    select(
        *(Job.id, Job.endpoint, Job.model, Job.detail, Job.options, Job.created_at),
        (Job.served_images / Job.weight).label("rank"),
    )
    .where(_served_by(bindparam("for_account")), _goes_on(bindparam("in_status", type_=String)))
    .order_by(sql("rank"), Job.created_at)
    .offset(0)  # PostgreSQL then sorts first, and looks for images only until it has found one
    .subquery("ranked")
)
_NEXT_JOB = (
    select(*(_RANKED.c[name] for name in ("id", "endpoint", "model", "detail", "options")))
    .where(exists().where(Image.job_id == _RANKED.c.id, _FREE))
    .order_by(_RANKED.c.rank, _RANKED.c.created_at)
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
    .returning(*columns_of(ImageWork, Image))
)
_SERVED = (
    update(Job)
    .where(Job.id == bindparam("of_job"))
    .values(served_images=Job.served_images + bindparam("more", type_=Integer))
)
_DUE = select(func.count()).select_from(
    select(Image.id)
    .join(Job, Job.id == Image.job_id)
    .where(
        _served_by(bindparam("for_account")), _goes_on(bindparam("in_status", type_=String)), _FREE
    )
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
    """Claim up to ``limit`` images in ``status`` of one job, lowest positions first."""
    free = {"in_status": status, "attempts_most": attempts_max}
    job = connection.execute(_NEXT_JOB, {"for_account": account, **free}).first()
    if job is None:
        return []
    hold_job(connection, job.id)
    which = {"of_job": job.id, **free}
    ids = connection.execute(_FRESH, {"at_most": limit, **which}).scalars().all()
    if not ids:  # retries come last and one by one: if one kills its worker, no other image suffers
        ids = connection.execute(_TRIED, {"at_most": 1, **which}).scalars().all()
    held = {"token": lease.token, "seconds": lease.seconds}
    rows = connection.execute(_TAKE, {"these": ids, **held, **free}).all()
    connection.execute(_SERVED, {"of_job": job.id, "more": len(rows)})
    work = [
        record(
            ImageWork,
            row,
            endpoint=job.endpoint,
            model=_model_at(row.look, job.model, job.options),
            detail=detail_at(job.detail, row.look),
            options=job.options,
        )
        for row in rows
    ]
    return sorted(work, key=lambda image: image.position)


def _model_at(look: int, model: str, options: JobOptions) -> str:
    """The model of a job's first or second look."""
    return (options.second_model if look > 1 else None) or model


def next_node(
    connection: Connection, account: str, kind: NodeKind, without: Collection[str] = ()
) -> NodeWork | None:
    """The node of ``kind`` for the account's next call, not claimed yet; None if no node is due.

    Jobs in ``without`` are skipped. Branches near the root come first, so that an answer arrives
    sooner.
    """
    due = _due(kind)
    # chosen first: to sort the ready nodes of all jobs takes longer the more of them wait
    rank = (Job.served_tokens / Job.weight).label("rank")
    ranked = (
        select(Job.id, Job.created_at, rank)
        .where(_served_by(account), Job.id.not_in(without))
        .order_by(sql("rank"), Job.created_at)
        .offset(0)
        .subquery("ranked")
    )
    job = (
        select(ranked.c.id)
        .where(exists().where(Node.job_id == ranked.c.id, due))
        .order_by(ranked.c.rank, ranked.c.created_at)
        .limit(1)
        .cte("next_job")
    )
    of_job = Node.job_id == select(job.c.id).scalar_subquery()
    highest = select(func.max(Node.level)).where(of_job, due).scalar_subquery()
    row = connection.execute(
        select(*columns_of(NodeWork, Node, Job))
        .join(Job, Job.id == Node.job_id)
        .where(of_job, due, Node.level == highest)
        .order_by(Node.first_position)
        .limit(1)
    ).first()
    return None if row is None else _at_its_look(record(NodeWork, row))


def _due(kind: NodeKind) -> ColumnElement[bool]:
    """Whether a node of ``kind`` may be asked now. Where the account's limits make calls wait,
    leaves go first: the answer needs all of them, and the branches are then asked side by side. So
    a branch is not due while a leaf of its job is; a unit's own answer does not wait for others."""
    due = and_(READY, Node.kind == kind, Node.due_at <= now())
    if kind == NodeKind.LEAF:
        return due
    leaf = Node.__table__.alias("leaf")
    is_due = and_(literal_column("leaf.status = 'ready'"), leaf.c.due_at <= now())
    is_leaf = and_(leaf.c.job_id == Node.job_id, leaf.c.kind == NodeKind.LEAF)
    waits = exists(select(leaf.c.id).where(is_leaf, is_due).correlate(Node))
    return and_(due, or_(Node.unit.is_not(None), ~waits))


def _at_its_look(node: NodeWork) -> NodeWork:
    """``node`` with the detail and the model of its look."""
    detail = detail_at(node.detail, node.look)
    return replace(node, detail=detail, model=_model_at(node.look, node.model, node.options))


def claim_node(connection: Connection, node: NodeWork, lease: Lease, tokens: int) -> bool:
    """Claim ``node`` for a call of about ``tokens`` tokens; False if another worker has it."""
    running = select(Job.id).where(Job.id == node.job_id, Job.status == JobStatus.RUNNING)
    if connection.execute(running.with_for_update(key_share=True)).first() is None:
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


def give_back(connection: Connection, node_id: int, token: str) -> None:
    """Make a node that was claimed under ``token`` ready again. The attempt does not count."""
    connection.execute(
        update(Node)
        .where(Node.id == node_id, Node.lease_token == token, Node.status == NodeStatus.RUNNING)
        .values(status=NodeStatus.READY, attempts=Node.attempts - 1, **FREE)
    )


def served(connection: Connection, job_id: str | None, tokens: int) -> None:
    """Add ``tokens`` to what a job was served; negative to take back what it did not use."""
    connection.execute(
        update(Job).where(Job.id == job_id).values(served_tokens=Job.served_tokens + tokens)
    )


def renew_images(connection: Connection, tokens: Collection[str], seconds: float) -> None:
    """Renew the leases ``tokens`` of slices: on their images and on files that they upload."""
    _renew(connection, Image, and_(TRIED, Image.lease_until > 0), tokens, seconds)
    _renew(connection, File, LEASED_FILE, tokens, seconds)


def renew_nodes(connection: Connection, tokens: Collection[str], seconds: float) -> None:
    """Renew the leases ``tokens`` of nodes."""
    _renew(connection, Node, and_(RUNNING, Node.lease_until > 0), tokens, seconds, key_share=True)


def _renew(
    connection: Connection,
    table: type[Image | File | Node],
    in_index: ColumnElement[bool],
    tokens: Collection[str],
    seconds: float,
    key_share: bool = False,
) -> None:
    """Skips locked rows: they are being recorded and no longer need their lease. ``in_index``: what
    holds of every row under a lease, so that an index of few rows finds them."""
    if tokens:
        held = select(table.id).where(in_index, table.lease_token.in_(tokens))
        # with the sign, SQLite does not read all rows in the order of their ids
        held = held.order_by(literal_column(f"+{table.__tablename__}.id"))
        free = held.with_for_update(key_share=key_share, skip_locked=True).scalar_subquery()
        until = now() + seconds
        connection.execute(update(table).where(table.id.in_(free)).values(lease_until=until))


def least_served(connection: Connection, account: str) -> tuple[float, float]:
    """Images and tokens by weight that the account's least served running job was served. A new
    job starts with them."""
    row = connection.execute(
        select(
            func.min(Job.served_images / Job.weight), func.min(Job.served_tokens / Job.weight)
        ).where(_served_by(account))
    ).one()
    return float(row[0] or 0.0), float(row[1] or 0.0)


_TO_COMPARE = (
    select(Job.id)
    .where(
        _served_by(bindparam("for_account")),
        Job.comparing,
        ~exists().where(Image.job_id == Job.id, Image.status == ImageStatus.PENDING),
    )
    .order_by(Job.created_at)
    .limit(1)
)


def job_to_compare(connection: Connection, account: str) -> str | None:
    """A running job whose images are all prepared or refused, and not compared yet."""
    return connection.execute(_TO_COMPARE, {"for_account": account}).scalar()


def waiting_work(connection: Connection, account: str, limit: int) -> dict[Stage, int]:
    """Work that is due and not claimed, by stage, each counted up to ``limit``."""
    counts: dict[Stage, int] = {}
    for stage in STAGES:
        if isinstance(stage.takes, ImageStatus):
            counts[stage] = count_images(connection, account, stage.takes, limit)
        elif stage.takes is not None:
            counts[stage] = count_nodes(connection, account, stage.takes, limit)
    if not counts[PREPROCESS] and job_to_compare(connection, account) is not None:
        counts[PREPROCESS] = 1
    return {stage: count for stage, count in counts.items() if count}


def count_images(connection: Connection, account: str, status: ImageStatus, limit: int) -> int:
    """Images in ``status`` that are due and not claimed, counted up to ``limit``."""
    counted = {"for_account": account, "in_status": status, "attempts_most": 1_000_000}
    return connection.execute(_DUE, {"at_most": limit, **counted}).scalar_one()


def count_nodes(connection: Connection, account: str, kind: NodeKind, limit: int) -> int:
    """Nodes of ``kind`` that are due, counted up to ``limit``."""
    return _count_nodes(connection, account, _due(kind), limit)


def open_leaves(connection: Connection, account: str, limit: int) -> int:
    """Leaves of running jobs that are ready or wait for their images, counted up to ``limit``."""
    is_open = Node.status.in_([NodeStatus.WAITING, NodeStatus.READY])
    return _count_nodes(connection, account, and_(Node.kind == NodeKind.LEAF, is_open), limit)


def _count_nodes(
    connection: Connection, account: str, which: ColumnElement[bool], limit: int
) -> int:
    nodes = (
        select(Node.id)
        .join(Job, Job.id == Node.job_id)
        .where(_served_by(account), which)
        .limit(limit)
    )
    return connection.execute(select(func.count()).select_from(nodes.subquery())).scalar_one()
