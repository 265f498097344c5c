"""Fan-in: settled images and nodes count their parent down, which becomes ready, failed or ended.

A child counts its parent down only if its own guarded move took effect, so a move that is replayed
counts once (see celery.md, fan-in).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping

from sqlalchemy import Connection, and_, bindparam, exists, func, select, true, update

from core.errors import RefusalCode
from core.states import ENDED_JOBS, UNSETTLED_IMAGES, ImageStatus, NodeKind, NodeStatus
from models.below import images_below
from models.engine import now
from models.state.first_answers import LOOKED_AT_BEFORE, keep_first, leaf_values
from models.state.jobs import coverage, finish, job_failed
from models.state.moves import MAY_FAIL, Moved, fail_images, hold_job, move_node, node_row
from models.tables import Image, Job, Node


def images_failed(
    connection: Connection,
    job_id: str,
    failures: Mapping[int, tuple[RefusalCode, str]],
    moved: Moved,
    token: str | None = None,
    beside: Collection[int] = (),
) -> set[int]:
    """Any unsettled state -> failed for images of one job, each with its code and reason. Returns
    the ids that moved. Leaves that still waited for them count down. ``beside``: images whose
    leaves the transaction counts down afterwards."""
    if not failures:
        return set()
    hold_job(connection, job_id)  # of two failures at once, the second must count the first
    held_by = Image.lease_token == token if token is not None else true()
    # locked, because a late worker may be recording them
    locking = (
        select(Image.id, Image.status, Image.node_id, LOOKED_AT_BEFORE.label("has_first"))
        .where(Image.id.in_(failures), Image.status.in_(MAY_FAIL), held_by)
        .order_by(Image.id)
        .with_for_update()
    )
    locked = connection.execute(locking).all()
    by_reason: defaultdict[tuple[RefusalCode, str], list[int]] = defaultdict(list)
    failed = [row for row in locked if not row.has_first]
    keep_first(connection, Image.id.in_([row.id for row in locked if row.has_first]))
    for row in failed:
        by_reason[failures[row.id]].append(row.id)
    for (code, reason), ids in by_reason.items():
        fail_images(connection, Image.id.in_(ids), code, reason)
    if failed:  # before leaves are locked: slices that hold images wait for leaves
        _end_if_hopeless(connection, job_id, moved)
    _lock_leaves(connection, [*failures, *beside])
    missing = Counter(
        row.node_id for row in locked if row.status in UNSETTLED_IMAGES and row.node_id
    )
    for node_id, count in sorted(missing.items()):
        count_down_leaf(connection, node_id, count, moved)
    return {row.id for row in locked}


def _lock_leaves(connection: Connection, image_ids: Collection[int]) -> None:
    """Lock the leaves in the order in which slices count them down, to avoid deadlocks."""
    leaves = select(Image.node_id).where(Image.id.in_(image_ids))
    waiting = select(Node.id).where(Node.id.in_(leaves), Node.status == NodeStatus.WAITING)
    connection.execute(waiting.order_by(Node.id).with_for_update(key_share=True))


def _end_if_hopeless(connection: Connection, job_id: str, moved: Moved) -> None:
    """End a job as soon as failed images make its conditions impossible, before more is paid. Also
    a paused one: its last calls still return, and nothing checks again when it resumes."""
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
    """Any open state -> failed. The uploaded and included images below it fail too."""
    node = node_row(connection, node_id)
    hold_job(connection, node.job_id)
    if node.look > 1 and _has_first(connection, node_id):
        return _first_kept(connection, node_id, node.job_id, code, reason, moved, token)
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
        images_below(connection, node_id),
        Image.status.in_([ImageStatus.UPLOADED, ImageStatus.INCLUDED]),
    )
    locked = select(Image.id).where(below).order_by(Image.id).with_for_update()
    if connection.execute(locked).all():  # by condition, not by ids: there may be thousands
        fail_images(connection, below, code, reason)
        _end_if_hopeless(connection, node.job_id, moved)
    child_settled(connection, node_id, moved)
    return True


def _has_first(connection: Connection, node_id: int) -> bool:
    first = exists().where(Image.node_id == node_id, LOOKED_AT_BEFORE)
    return bool(connection.execute(select(first)).scalar())


def _first_kept(
    connection: Connection,
    node_id: int,
    job_id: str,
    code: RefusalCode,
    reason: str,
    moved: Moved,
    token: str | None,
) -> bool:
    """Any open state -> done, for a second look that failed: its images stand as the first look
    saw them, and those that it had no answer for fail."""
    if not move_node(connection, node_id, NodeStatus.DONE, token, error=reason, finished_at=now()):
        return False
    looked_at = and_(Image.node_id == node_id, Image.status.in_(MAY_FAIL))
    keep_first(connection, looked_at)
    without = and_(looked_at, Image.seen.is_(None))
    if connection.execute(select(exists().where(without))).scalar():
        fail_images(connection, without, code, reason)
        _end_if_hopeless(connection, job_id, moved)
    values = leaf_values(connection, node_id)
    connection.execute(update(Node).where(Node.id == node_id).values(**values))
    child_settled(connection, node_id, moved)
    return True


def open_node(connection: Connection, node_id: int, kind: str, moved: Moved) -> None:
    """Open a node that waits for nothing."""
    opens = open_leaf if kind == NodeKind.LEAF else open_branch
    opens(connection, node_id, moved)


def open_leaf(connection: Connection, node_id: int, moved: Moved) -> None:
    """Make a leaf that waits for nothing ready, or failed if no image is left in it."""
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
    """Make a branch whose children are settled ready, or failed if no child is done."""
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
