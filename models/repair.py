"""Repairs after lost workers (expired leases, exhausted rows, countdowns), and reopening jobs."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from sqlalchemy import Case, Connection, and_, case, exists, func, or_, select, update

from core.errors import RefusalCode
from core.states import (
    SETTLED_NODES,
    UNSETTLED_IMAGES,
    CallStatus,
    ImageStatus,
    JobStatus,
    NodeKind,
    NodeStatus,
)
from models import state
from models.engine import now
from models.partial_indexes import RUNNING, TRIED, WAITING
from models.state import FREE, Moved
from models.tables import Call, Image, Job, Node

RECOUNTED = 1_000
"""Nodes whose countdowns are checked together. Each takes a read of all its images: of a job of a
million, one check of all took seconds of every half minute."""
SKIP_LOCKED: dict[str, Any] = {"key_share": True, "skip_locked": True}
"""Another transaction, perhaps of a late worker, is moving a locked row; the next run checks it
again. The reconciler locks rows of many jobs, so if it waited for one, others would wait for it."""


def moment(connection: Connection) -> float:
    """The time by the database's clock, which decides when leases end."""
    return float(connection.execute(select(now())).scalar_one())


def anything_expired(connection: Connection, attempts_max: int) -> bool:
    """Whether a lease expired or attempts are used up: a cheap check before a write transaction."""
    expired_image = and_(
        TRIED,
        Image.lease_until <= now(),
        or_(Image.lease_token.is_not(None), Image.attempts >= attempts_max),
    )
    running = select(Job.id).where(Job.status == JobStatus.RUNNING)
    expired = or_(
        exists().where(Call.status == CallStatus.STARTED, Call.lease_until <= now()),
        exists().where(RUNNING, Node.lease_until <= now()),
        exists().where(Image.job_id.in_(running), expired_image),
    )
    return bool(connection.execute(select(expired)).scalar())


def is_call(connection: Connection, call_id: int, key: str | None) -> bool:
    """Whether the call ``call_id`` exists and has the request key ``key`` (None: any key)."""
    stored = connection.execute(select(Call.key).where(Call.id == call_id)).scalar()
    return stored is not None and key in (None, stored)


def reclaim_nodes(connection: Connection, attempts_max: int, moved: Moved) -> int:
    """Make running nodes with an expired lease ready again, or failed after ``attempts_max``
    attempts. Returns their number."""
    rows = connection.execute(
        select(Node.id, Node.kind, Node.attempts, Node.lease_token)
        .join(Job, Job.id == Node.job_id)
        .where(RUNNING, Node.lease_until <= now())
        .order_by(Node.id)
        .with_for_update(of=[Job.__table__, Node.__table__], **SKIP_LOCKED)
    ).all()
    for row in rows:
        if row.attempts >= attempts_max:
            reason = f"its workers were lost {row.attempts} times"
            code, token = RefusalCode.POISON, row.lease_token
            state.node_failed(connection, row.id, code, reason, moved, token)
        elif state.node_reclaimed(connection, row.id, row.lease_token):
            moved.ready(row.id, NodeKind(row.kind))
    return len(rows)


def fail_poison(connection: Connection, attempts_max: int, moved: Moved) -> int:
    """Fail exhausted images: their workers died or gave up ``attempts_max`` times. Frees all other
    images with an expired lease. Returns the number of failed ones."""
    rows = connection.execute(
        select(Image.id, Image.job_id, Image.error)
        .join(Job, Job.id == Image.job_id)
        .where(
            TRIED,
            Image.attempts >= attempts_max,
            or_(Image.lease_token.is_(None), Image.lease_until <= now()),
        )
        .order_by(Image.id)
        .with_for_update(of=[Job.__table__, Image.__table__], **SKIP_LOCKED)
    ).all()
    failures: defaultdict[str, dict[int, tuple[RefusalCode, str]]] = defaultdict(dict)
    for row in rows:
        reason = row.error or f"its worker was lost {attempts_max} times while preparing it"
        failures[row.job_id][row.id] = (RefusalCode.POISON, reason)
    for job_id, of_job in failures.items():
        state.images_failed(connection, job_id, of_job, moved)
    expired = select(Image.id).where(
        TRIED, Image.lease_token.is_not(None), Image.lease_until <= now()
    )
    locked = expired.order_by(Image.id).with_for_update(**SKIP_LOCKED)
    connection.execute(update(Image).where(Image.id.in_(locked.scalar_subquery())).values(**FREE))
    return len(rows)


def recount(connection: Connection, moved: Moved, after: int = 0) -> tuple[int, int]:
    """Correct the countdowns of RECOUNTED waiting nodes with ids above ``after``, and open those
    that wait for nothing. Returns the number of nodes corrected or opened, and the id to go on
    after; 0 at the end. The moves keep the countdown in their own transactions, so this finds
    something only after rows were edited by hand."""
    some = (
        select(Node.id)
        .join(Job, Job.id == Node.job_id)
        .where(Job.status == JobStatus.RUNNING, WAITING, Node.id > after)
        .order_by(Node.id)
        .limit(RECOUNTED)
    )
    checked = connection.execute(some).scalars().all()
    wrong = select(Node.id).where(
        Node.id.in_(checked), WAITING, or_(Node.pending != _left(), Node.pending == 0)
    )
    ids = connection.execute(wrong.order_by(Node.id)).scalars().all()
    repaired = sum(_recounted(connection, node_id, moved) for node_id in ids)
    return repaired, checked[-1] if len(checked) == RECOUNTED else 0


def _recounted(connection: Connection, node_id: int, moved: Moved) -> bool:
    """Correct a node's countdown under its lock; False if it no longer waits."""
    held = (
        select(Node.kind)
        .join(Job, Job.id == Node.job_id)
        .where(Node.id == node_id, Node.status == NodeStatus.WAITING)
        .with_for_update(of=[Job.__table__, Node.__table__], **SKIP_LOCKED)
    )
    kind = connection.execute(held).scalar()
    if kind is None:
        return False
    left = connection.execute(
        update(Node).where(Node.id == node_id).values(pending=_left()).returning(Node.pending)
    ).scalar_one()
    if left == 0:
        state.open_node(connection, node_id, kind, moved)
    return True


def _left() -> Case[int]:
    """The number of images or children that a node waits for."""
    images_left = (
        select(func.count())
        .where(Image.node_id == Node.id, Image.status.in_(UNSETTLED_IMAGES))
        .scalar_subquery()
    )
    child = Node.__table__.alias("child")
    nodes_left = (
        select(func.count())
        .where(
            child.c.parent_id == Node.id, child.c.status.not_in([*SETTLED_NODES, NodeStatus.SPLIT])
        )
        .scalar_subquery()
    )
    return case((Node.kind == NodeKind.LEAF, images_left), else_=nodes_left)


def reopen(connection: Connection, job_id: str, moved: Moved) -> int:
    """Reopen an ended job: retry its failed and skipped images, their leaves and all nodes above.
    The ledger answers what was paid for.

    Returns the number of images to retry; 0 if the job's state does not allow it.
    """
    if not state.job_moved(connection, job_id, JobStatus.RUNNING):
        return 0
    connection.execute(update(Job).where(Job.id == job_id).values(answer=None))
    # similar images, which have no node, stay left out; a job that still compares has no nodes yet
    comparing = connection.execute(select(Job.comparing).where(Job.id == job_id)).scalar_one()
    again = (
        connection.execute(
            update(Image)
            .where(
                Image.job_id == job_id,
                Image.status.in_([ImageStatus.FAILED, ImageStatus.SKIPPED]),
                *([] if comparing else [Image.node_id.is_not(None)]),
            )
            .values(
                status=ImageStatus.PENDING,
                error=None,
                error_code=None,
                attempts=0,
                due_at=0.0,
                updated_at=now(),
                **FREE,
            )
            .returning(Image.node_id)
        )
        .scalars()
        .all()
    )
    _reopen_nodes(connection, job_id, {node_id for node_id in again if node_id}, moved)
    return len(again)


def _reopen_nodes(connection: Connection, job_id: str, leaves: set[int], moved: Moved) -> None:
    nodes = connection.execute(
        select(Node.id, Node.parent_id, Node.kind, Node.status)
        .where(Node.job_id == job_id, Node.status != NodeStatus.SPLIT)
        .order_by(Node.level)
    ).all()
    parents = {node.id: node.parent_id for node in nodes}
    open_ids = leaves | {node.id for node in nodes if node.status != NodeStatus.DONE}
    for node_id in list(open_ids):
        above = parents[node_id]
        while above is not None and above not in open_ids:
            open_ids.add(above)
            above = parents[above]
    for node in nodes:
        if node.id in open_ids:
            _reopen_node(connection, node.id, NodeKind(node.kind), open_ids, parents, moved)


def _reopen_node(
    connection: Connection,
    node_id: int,
    kind: NodeKind,
    open_ids: set[int],
    parents: dict[int, int | None],
    moved: Moved,
) -> None:
    if kind == NodeKind.LEAF:
        connection.execute(
            update(Image)
            .where(Image.node_id == node_id, Image.status == ImageStatus.INCLUDED, Image.look == 1)
            .values(
                status=ImageStatus.UPLOADED,
                answer=None,
                seen=None,
                note=None,
                unclear=None,
                updated_at=now(),
            )
        )
        connection.execute(  # their first answers stay, and they may not be prepared at high yet
            update(Image)
            .where(Image.node_id == node_id, Image.status == ImageStatus.INCLUDED, Image.look > 1)
            .values(status=ImageStatus.PENDING, attempts=0, due_at=0.0, updated_at=now(), **FREE)
        )
        pending = connection.execute(
            select(func.count()).where(Image.node_id == node_id, Image.status.in_(UNSETTLED_IMAGES))
        ).scalar_one()
    else:
        pending = sum(parents[child] == node_id for child in open_ids)
    connection.execute(
        update(Node)
        .where(Node.id == node_id)
        .values(
            status=NodeStatus.WAITING,
            pending=pending,
            text=None,
            error=None,
            error_code=None,
            attempts=0,
            due_at=0.0,
            finished_at=None,
            **FREE,
        )
    )
    if pending == 0:
        state.open_node(connection, node_id, kind, moved)
