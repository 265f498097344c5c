"""Fan-in: who counts whom down, and what becomes ready, failed or ended by it.

A child counts its parent down only if its own guarded move took effect, so a move replayed any
number of times counts once (reference: celery.md, fan-in).
"""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, func, select, update

from core.errors import RefusalCode
from core.states import (
    ENDED_JOBS,
    ImageStatus,
    NodeKind,
    NodeStatus,
)
from models.engine import now
from models.state.jobs import coverage, finish, job_failed
from models.state.moves import Moved, hold_job, move_image, move_node, node_row
from models.tables import Image, Job, Node


def image_failed(
    connection: Connection,
    image_id: int,
    code: RefusalCode,
    reason: str,
    moved: Moved,
    token: str | None = None,
) -> bool:
    """Any unsettled state -> failed. A leaf that still waited for the image counts down."""
    job_id = connection.execute(select(Image.job_id).where(Image.id == image_id)).scalar_one()
    hold_job(connection, job_id)  # of two that fail at once, the second counts the first
    looked = select(Image.status, Image.node_id).where(Image.id == image_id)
    before = connection.execute(looked.with_for_update()).one()  # a late worker may record it
    took = move_image(
        connection, image_id, ImageStatus.FAILED, token, error_code=code, error=reason
    )
    if took and before.status in (ImageStatus.PENDING, ImageStatus.PREPARED):
        count_down_leaf(connection, before.node_id, 1, moved)
    if took:
        _end_if_hopeless(connection, image_id, moved)
    return took


def _end_if_hopeless(connection: Connection, image_id: int, moved: Moved) -> None:
    """End a job as soon as a failed image breaks what it asked for, before more is paid. A paused
    one, too: its last calls come back, and nobody asks again when it goes on."""
    job = connection.execute(
        select(Job.id, Job.options, Job.submitted)
        .join(Image, Image.job_id == Job.id)
        .where(Image.id == image_id, Job.status.not_in(ENDED_JOBS))
    ).first()
    if job is None:
        return
    if job.options.get("fail_fast"):
        job_failed(connection, job.id, "an image failed, and the job asked to fail fast", moved)
        return
    least = job.options.get("min_coverage")
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
    below = select(Image.id).where(
        Image.job_id == node.job_id,
        Image.position.between(node.first_position, node.last_position),
        Image.status.in_([ImageStatus.UPLOADED, ImageStatus.INCLUDED]),
    )
    for image_id in connection.execute(below).scalars().all():
        image_failed(connection, image_id, code, reason, moved)
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
