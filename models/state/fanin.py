"""Fan-in: who counts whom down, and what becomes ready, failed or ended by it.

A child counts its parent down only if its own guarded move took effect, so a move replayed any
number of times counts once (reference: celery.md, fan-in).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping

from sqlalchemy import Connection, and_, bindparam, func, select, true, update

from core.errors import RefusalCode
from core.states import (
    ENDED_JOBS,
    ImageStatus,
    NodeKind,
    NodeStatus,
)
from models.engine import now
from models.state.jobs import coverage, finish, job_failed
from models.state.moves import MAY_FAIL, Moved, fail_images, hold_job, move_node, node_row
from models.tables import Image, Job, Node

UNSETTLED = (ImageStatus.PENDING, ImageStatus.PREPARED)
"""Images that their leaf waits for."""


def images_failed(
    connection: Connection,
    job_id: str,
    failures: Mapping[int, tuple[RefusalCode, str]],
    moved: Moved,
    token: str | None = None,
    beside: Collection[int] = (),
) -> set[int]:
    """Any unsettled state -> failed for images of one job, each by its code and for its reason; the
    ids that moved. Leaves that still waited for them count down. ``beside``: images whose leaves
    the transaction counts down afterwards."""
    if not failures:
        return set()
    hold_job(connection, job_id)  # of two that fail at once, the second counts the first
    held_by = Image.lease_token == token if token is not None else true()
    # under their locks: a late worker may be recording them
    looked = (
        select(Image.id, Image.status, Image.node_id)
        .where(Image.id.in_(failures), Image.status.in_(MAY_FAIL), held_by)
        .order_by(Image.id)
        .with_for_update()
    )
    held = connection.execute(looked).all()
    alike: defaultdict[tuple[RefusalCode, str], list[int]] = defaultdict(list)
    for row in held:
        alike[failures[row.id]].append(row.id)
    for (code, reason), ids in alike.items():
        fail_images(connection, Image.id.in_(ids), code, reason)
    if held:  # before leaves are locked, which slices wait for that hold images
        _end_if_hopeless(connection, job_id, moved)
    _hold_leaves(connection, [*failures, *beside])
    missing = Counter(row.node_id for row in held if row.status in UNSETTLED and row.node_id)
    for node_id, count in sorted(missing.items()):
        count_down_leaf(connection, node_id, count, moved)
    return {row.id for row in held}


def _hold_leaves(connection: Connection, image_ids: Collection[int]) -> None:
    """In one order for all, as slices count them down."""
    leaves = select(Image.node_id).where(Image.id.in_(image_ids))
    held = select(Node.id).where(Node.id.in_(leaves), Node.status == NodeStatus.WAITING)
    connection.execute(held.order_by(Node.id).with_for_update(key_share=True))


def _end_if_hopeless(connection: Connection, job_id: str, moved: Moved) -> None:
    """End a job as soon as failed images break what it asked for, before more is paid. A paused
    one, too: its last calls come back, and nobody asks again when it goes on."""
    job = connection.execute(
        select(Job.id, Job.options, Job.submitted).where(
            Job.id == job_id, Job.status.not_in(ENDED_JOBS)
        )
    ).first()
    if job is None:
        return
    if job.options.fail_fast:
        job_failed(connection, job.id, "an image failed, and the job asked to fail fast", moved)
        return
    least = job.options.min_coverage
    if least is not None:
        failed = coverage(connection, job.id)["failed"]
        reached = (job.submitted - failed) / job.submitted
        if reached < least:
            reason = f"coverage cannot pass {reached:.1%}, and the job asked for {least:.1%}"
            job_failed(connection, job.id, reason, moved)


def node_failed(
    connection: Connection,
    node_id: int,
    code: RefusalCode,
    reason: str,
    moved: Moved,
    token: str | None = None,
) -> bool:
    """Any open state -> failed, and every image below that was in it fails with it."""
    node = node_row(connection, node_id)
    hold_job(connection, node.job_id)
    if not move_node(
        connection,
        node_id,
        NodeStatus.FAILED,
        token,
        error_code=code,
        error=reason,
        finished_at=now(),
    ):
        return False
    below = and_(
        Image.job_id == node.job_id,
        Image.position.between(node.first_position, node.last_position),
        Image.status.in_([ImageStatus.UPLOADED, ImageStatus.INCLUDED]),
    )
    locked = select(Image.id).where(below).order_by(Image.id).with_for_update()
    if connection.execute(locked).all():  # thousands, perhaps: so by condition, not by their ids
        fail_images(connection, below, code, reason)
        _end_if_hopeless(connection, node.job_id, moved)
    child_settled(connection, node_id, moved)
    return True


def open_leaf(connection: Connection, node_id: int, moved: Moved) -> None:
    """A leaf that waits for nothing any more is ready, or failed where no image is left in it."""
    usable = connection.execute(
        select(func.count()).where(Image.node_id == node_id, Image.status == ImageStatus.UPLOADED)
    ).scalar_one()
    if usable == 0:
        node_failed(
            connection, node_id, RefusalCode.JOB_FAILED, "none of its images could be used", moved
        )
    elif move_node(connection, node_id, NodeStatus.READY, None):
        moved.ready(node_id, NodeKind.LEAF)


def open_branch(connection: Connection, node_id: int, moved: Moved) -> None:
    """A branch whose children are settled is ready, or failed where none of them is done."""
    done = connection.execute(
        select(func.count()).where(Node.parent_id == node_id, Node.status == NodeStatus.DONE)
    ).scalar_one()
    if done == 0:
        node_failed(
            connection, node_id, RefusalCode.JOB_FAILED, "nothing below it could be used", moved
        )
    elif move_node(connection, node_id, NodeStatus.READY, None):
        moved.ready(node_id, NodeKind.BRANCH)


def child_settled(connection: Connection, node_id: int, moved: Moved) -> None:
    node = node_row(connection, node_id)
    if node.parent_id is None:
        finish(connection, node.job_id, moved)
        return
    row = connection.execute(
        update(Node)
        .where(Node.id == node.parent_id, Node.status == NodeStatus.WAITING, Node.pending > 0)
        .values(pending=Node.pending - 1)
        .returning(Node.id, Node.pending)
    ).first()
    if row is not None and row.pending == 0:
        open_branch(connection, row.id, moved)


_COUNT_DOWN = (
    update(Node)
    .where(
        Node.id == bindparam("node"),
        Node.status == NodeStatus.WAITING,
        Node.pending >= bindparam("by"),
    )
    .values(pending=Node.pending - bindparam("by"))
    .returning(Node.id, Node.pending)
)


def count_down_leaf(connection: Connection, node_id: int | None, by: int, moved: Moved) -> None:
    row = connection.execute(_COUNT_DOWN, {"node": node_id, "by": by}).first()
    if row is not None and row.pending == 0:
        open_leaf(connection, row.id, moved)
