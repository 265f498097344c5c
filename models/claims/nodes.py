"""Claims of nodes: the next call of the job that was served least."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    exists,
    func,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy import text as sql

from core.catalog.tokens import detail_at
from core.states import JobStatus, NodeKind, NodeStatus
from models.claims.work import Lease, NodeWork, model_at, served_by
from models.engine import now
from models.partial_indexes import READY
from models.records import columns_of, record
from models.state import FREE
from models.tables import Job, Node


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
        .where(served_by(account), Job.id.not_in(without))
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
    return replace(node, detail=detail, model=model_at(node.look, node.model, node.options))


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
        .where(served_by(account), which)
        .limit(limit)
    )
    return connection.execute(select(func.count()).select_from(nodes.subquery())).scalar_one()
