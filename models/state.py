"""The one writer of state. Every move is a guarded UPDATE, an events row, and the fan-in it
causes, in the caller's transaction. What became ready is returned, to be sent after the commit.

Fan-in is a countdown in SQL: a child counts its parent down only if its own guarded move took
effect, so a move replayed any number of times counts once (reference: celery.md, fan-in).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field

from sqlalchemy import Connection, bindparam, exists, func, insert, literal, select, update

from core.errors import RefusalCode
from core.states import (
    IMAGE_MOVES,
    JOB_MOVES,
    NODE_MOVES,
    ImageStatus,
    JobStatus,
    NodeKind,
    NodeStatus,
    outcome_of_job,
)
from models.engine import now
from models.tables import Event, Image, Job, Node

FREE = {"lease_token": None, "lease_until": 0.0}
LEFT_OUT_SHOWN = 10


@dataclass(slots=True)
class Moved:
    """What a transaction made ready or ended: the messages to send after the commit."""

    prepared: int = 0
    leaves: list[int] = field(default_factory=list)
    branches: list[int] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)

    def ready(self, node_id: int, kind: NodeKind) -> None:
        (self.leaves if kind == NodeKind.LEAF else self.branches).append(node_id)


@dataclass(frozen=True, slots=True)
class PreparedImage:
    """What preprocess records."""

    sha256: str
    source_sha256: str | None
    mime: str
    width: int | None
    height: int | None
    prepared_bytes: int
    tokens: int
    remarks: str | None


# ---- images


def images_prepared(
    connection: Connection, token: str, made: Mapping[int, PreparedImage], moved: Moved
) -> set[int]:
    """pending -> prepared for a slice; the ids that moved. What is not among them lost its lease:
    somebody else has recorded it or will."""
    held = _still_held(connection, token, made, ImageStatus.PENDING)
    if held:
        connection.execute(
            update(Image)
            .where(Image.id == bindparam("image"))
            .values(status=ImageStatus.PREPARED, updated_at=now(), attempts=0, error=None, **FREE),
            [{"image": image_id, **asdict(made[image_id])} for image_id in held],
        )
        _image_events(connection, held, ImageStatus.PREPARED)
    moved.prepared += len(held)
    return set(held)


def images_uploaded(
    connection: Connection, token: str, image_ids: Collection[int], moved: Moved
) -> set[int]:
    """prepared -> uploaded for a slice, and its leaves count down; the ids that moved."""
    held = _still_held(connection, token, image_ids, ImageStatus.PREPARED)
    if held:
        connection.execute(
            update(Image)
            .where(Image.id.in_(held))
            .values(status=ImageStatus.UPLOADED, updated_at=now(), attempts=0, error=None, **FREE)
        )
        _image_events(connection, held, ImageStatus.UPLOADED)
    # in one order for all: slices that share two leaves would deadlock on PostgreSQL
    for node_id, count in sorted(Counter(leaf for leaf in held.values() if leaf).items()):
        _count_down_leaf(connection, node_id, count, moved)
    return set(held)


def _still_held(
    connection: Connection, token: str, image_ids: Collection[int], status: ImageStatus
) -> dict[int, int | None]:
    """Of ``image_ids``, those in ``status`` under the lease ``token``, with their leaves; locked
    until the end of the transaction."""
    rows = connection.execute(
        select(Image.id, Image.node_id)
        .where(Image.id.in_(image_ids), Image.lease_token == token, Image.status == status)
        .with_for_update()
    )
    return {row.id: row.node_id for row in rows}


def image_failed(
    connection: Connection,
    image_id: int,
    code: RefusalCode,
    reason: str,
    moved: Moved,
    token: str | None = None,
) -> bool:
    """Any unsettled state -> failed. A leaf that still waited for the image counts down."""
    before = connection.execute(
        select(Image.status, Image.node_id).where(Image.id == image_id)
    ).one()
    took = _move_image(
        connection, image_id, ImageStatus.FAILED, token, error_code=code, error=reason
    )
    if took and before.status in (ImageStatus.PENDING, ImageStatus.PREPARED):
        _count_down_leaf(connection, before.node_id, 1, moved)
    if took:
        _end_if_hopeless(connection, image_id, moved)
    return took


def _end_if_hopeless(connection: Connection, image_id: int, moved: Moved) -> None:
    """End a job as soon as a failed image breaks what it asked for, before more is paid."""
    job = connection.execute(
        select(Job.id, Job.options, Job.submitted)
        .join(Image, Image.job_id == Job.id)
        .where(Image.id == image_id, Job.status == JobStatus.RUNNING)
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


def image_postponed(
    connection: Connection,
    image_id: int,
    token: str,
    after_seconds: float,
    reason: str,
    costs_attempt: bool,
) -> None:
    """Back to where it was, due later."""
    connection.execute(
        update(Image)
        .where(Image.id == image_id, Image.lease_token == token)
        .values(
            due_at=now() + after_seconds,
            attempts=Image.attempts if costs_attempt else Image.attempts - 1,
            error=reason,
            **FREE,
        )
    )


def images_to_upload_again(connection: Connection, image_ids: Collection[int]) -> None:
    """uploaded -> prepared for images whose file is gone; their waiting leaf counts up again."""
    for image_id in image_ids:
        if _move_image(connection, image_id, ImageStatus.PREPARED, None):
            node_id = select(Image.node_id).where(Image.id == image_id).scalar_subquery()
            connection.execute(
                update(Node).where(Node.id == node_id).values(pending=Node.pending + 1)
            )


def unpin_later_leaf(connection: Connection, account: str, image_id: int, moved: Moved) -> int:
    """Send the uploaded images of the last unfinished leaf back to upload, if that leaf comes
    after the one of ``image_id``; how many there were.

    When the file store is full of leaves that all wait for their last images, somebody has to give
    way. Leaves are ordered by their job's age and their place in it, and only a later one gives
    way, so the first always gets on.
    """
    rank = (Job.created_at, Job.id, Node.first_position)
    mine = connection.execute(
        select(*rank)
        .join(Node, Node.job_id == Job.id)
        .join(Image, Image.node_id == Node.id)
        .where(Image.id == image_id)
    ).first()
    last = connection.execute(
        select(Node.id, *rank)
        .join(Job, Job.id == Node.job_id)
        .where(
            Job.account == account,
            Job.status == JobStatus.RUNNING,
            Node.kind == NodeKind.LEAF,
            Node.status == NodeStatus.WAITING,
            exists().where(Image.node_id == Node.id, Image.status == ImageStatus.UPLOADED),
        )
        .order_by(*(column.desc() for column in rank))
        .limit(1)
    ).first()
    if mine is None or last is None or tuple(last[1:]) <= tuple(mine):
        return 0
    ids = connection.execute(
        select(Image.id).where(Image.node_id == last.id, Image.status == ImageStatus.UPLOADED)
    ).scalars()
    image_ids = list(ids)
    images_to_upload_again(connection, image_ids)
    moved.prepared += len(image_ids)
    return len(image_ids)


# ---- nodes


def node_done(
    connection: Connection, node_id: int, token: str, text: str, refused: int, moved: Moved
) -> bool:
    """running -> done, its images are included, its parent counts down; a root ends its job.

    False when the lease was lost: the reply stays in the ledger and pays for the next try.
    """
    if not _move_node(
        connection,
        node_id,
        NodeStatus.DONE,
        token,
        text=text,
        refused_citations=refused,
        images=_images_below(connection, node_id),
        finished_at=now(),
        error=None,
        error_code=None,
    ):
        return False
    node = _node(connection, node_id)
    if node.kind == NodeKind.LEAF:
        _include(connection, node_id)
    _child_settled(connection, node_id, moved)
    return True


def node_failed(
    connection: Connection,
    node_id: int,
    code: RefusalCode,
    reason: str,
    moved: Moved,
    token: str | None = None,
) -> bool:
    """Any open state -> failed, and every image below that was in it fails with it."""
    if not _move_node(
        connection,
        node_id,
        NodeStatus.FAILED,
        token,
        error_code=code,
        error=reason,
        finished_at=now(),
    ):
        return False
    node = _node(connection, node_id)
    below = select(Image.id).where(
        Image.job_id == node.job_id,
        Image.position.between(node.first_position, node.last_position),
        Image.status.in_([ImageStatus.UPLOADED, ImageStatus.INCLUDED]),
    )
    for image_id in connection.execute(below).scalars().all():
        image_failed(connection, image_id, code, reason, moved)
    _child_settled(connection, node_id, moved)
    return True


def node_postponed(
    connection: Connection,
    node_id: int,
    token: str,
    after_seconds: float,
    reason: str,
    costs_attempt: bool,
) -> None:
    """running -> ready, due later."""
    _move_node(
        connection,
        node_id,
        NodeStatus.READY,
        token,
        due_at=now() + after_seconds,
        attempts=Node.attempts if costs_attempt else Node.attempts - 1,
        error=reason,
    )


def node_reclaimed(connection: Connection, node_id: int) -> bool:
    """running -> ready: its lease ran out. The attempt stays counted."""
    return _move_node(connection, node_id, NodeStatus.READY, None)


def node_waits_again(
    connection: Connection, node_id: int, token: str, gone: Collection[int], moved: Moved
) -> bool:
    """running -> waiting: images in ``gone`` must be uploaded again before it can be asked."""
    if not _move_node(connection, node_id, NodeStatus.WAITING, token, pending=0):
        return False
    images_to_upload_again(connection, gone)
    moved.prepared += len(gone)
    return True


def split_leaf(
    connection: Connection, node_id: int, token: str, groups: Sequence[Sequence[int]], moved: Moved
) -> bool:
    """Replace a leaf by one leaf a group of image ids, all ready.

    Below a parent the new leaves become its children. A leaf that is the root becomes a branch
    over them, since only one node may answer.
    """
    node = _node(connection, node_id)
    is_root = node.parent_id is None
    values = (
        {"kind": NodeKind.BRANCH, "level": 1, "pending": len(groups), "attempts": 0, "error": None}
        if is_root
        else {}
    )
    to = NodeStatus.WAITING if is_root else NodeStatus.SPLIT
    if not _move_node(connection, node_id, to, token, **values):
        return False
    parent_id = node_id if is_root else node.parent_id
    for group in groups:
        child = _insert_leaf(connection, node.job_id, parent_id, node_id, group)
        moved.ready(child, NodeKind.LEAF)
    if not is_root:
        _count_up(connection, parent_id, len(groups) - 1)
    return True


def split_branch(
    connection: Connection, node_id: int, token: str, groups: Sequence[Sequence[int]], moved: Moved
) -> bool:
    """Put a level of branches, one a group of child ids, between a branch and its children."""
    node = _node(connection, node_id)
    if not _move_node(
        connection,
        node_id,
        NodeStatus.WAITING,
        token,
        pending=len(groups),
        attempts=0,
        level=node.level + 1,
    ):
        return False
    for group in groups:
        child = _insert_branch(connection, node, group)
        moved.ready(child, NodeKind.BRANCH)
    return True


# ---- jobs


def job_moved(
    connection: Connection, job_id: str, to: JobStatus, reason: str | None = None
) -> bool:
    """Move a job if its state allows it; ended jobs get their coverage and time."""
    allowed = [state for state, targets in JOB_MOVES.items() if to in targets]
    values = {"finished_at": now(), **coverage(connection, job_id)} if to.ended else {}
    took = connection.execute(
        update(Job)
        .where(Job.id == job_id, Job.status.in_(allowed))
        .values(status=to, reason=reason, **values)
    ).rowcount
    if took:
        _event(connection, job_id, f"job.{to}", detail=reason)
    return bool(took)


def job_failed(connection: Connection, job_id: str, reason: str, moved: Moved) -> None:
    """End a job without an answer: what had not had its turn is skipped."""
    close_open_work(connection, job_id)
    if job_moved(connection, job_id, JobStatus.FAILED, reason):
        moved.ended.append(job_id)


def job_cancelled(connection: Connection, job_id: str, moved: Moved) -> bool:
    """End a job because somebody said so; calls in flight are recorded in the ledger only."""
    close_open_work(connection, job_id)
    took = job_moved(connection, job_id, JobStatus.CANCELLED, "cancelled on request")
    if took:
        moved.ended.append(job_id)
    return took


def pause_running(connection: Connection, account: str, reason: str) -> int:
    """Pause every running job of an account for ``reason``; how many there were."""
    running = select(Job.id).where(Job.status == JobStatus.RUNNING, Job.account == account)
    ids = connection.execute(running).scalars().all()
    return sum(job_moved(connection, job_id, JobStatus.PAUSED, reason) for job_id in ids)


def adopt(connection: Connection, job_id: str, account: str) -> None:
    """Let the workers of ``account`` serve a job: its key was changed, or the sandbox is new."""
    connection.execute(update(Job).where(Job.id == job_id).values(account=account))


def is_paused(connection: Connection, account: str, reason: str) -> bool:
    """Whether a job of the account is paused for ``reason``."""
    held = exists().where(
        Job.account == account, Job.status == JobStatus.PAUSED, Job.reason == reason
    )
    return bool(connection.execute(select(held)).scalar())


def resume_paused(connection: Connection, account: str, reason: str) -> int:
    """Let every job of an account go on that was paused for ``reason``; how many there were."""
    paused = select(Job.id).where(
        Job.status == JobStatus.PAUSED, Job.reason == reason, Job.account == account
    )
    ids = connection.execute(paused).scalars().all()
    return sum(job_moved(connection, job_id, JobStatus.RUNNING) for job_id in ids)


def close_open_work(connection: Connection, job_id: str) -> None:
    """Unsettled images are skipped, open nodes cancelled; whoever works on them loses the lease."""
    connection.execute(
        update(Image)
        .where(
            Image.job_id == job_id,
            Image.status.in_([ImageStatus.PENDING, ImageStatus.PREPARED, ImageStatus.UPLOADED]),
        )
        .values(status=ImageStatus.SKIPPED, updated_at=now(), **FREE)
    )
    connection.execute(
        update(Node)
        .where(
            Node.job_id == job_id,
            Node.status.in_([NodeStatus.WAITING, NodeStatus.READY, NodeStatus.RUNNING]),
        )
        .values(status=NodeStatus.CANCELLED, **FREE)
    )


def coverage(connection: Connection, job_id: str) -> dict[str, int]:
    """included, failed, duplicate and skipped images of a job, as they stand."""
    rows = connection.execute(
        select(Image.status, func.count()).where(Image.job_id == job_id).group_by(Image.status)
    )
    counts = {str(status): count for status, count in rows}
    names = (
        ImageStatus.INCLUDED,
        ImageStatus.FAILED,
        ImageStatus.DUPLICATE,
        ImageStatus.SKIPPED,
    )
    return {str(name): counts.get(name, 0) for name in names}


def finish(connection: Connection, job_id: str, moved: Moved) -> bool:
    """End a running job by its root: completed or partial with its answer, or failed."""
    root = connection.execute(
        select(Node.status, Node.text, Node.error).where(
            Node.job_id == job_id, Node.parent_id.is_(None), Node.status != NodeStatus.SPLIT
        )
    ).one()
    if root.status not in (NodeStatus.DONE, NodeStatus.FAILED):
        return False
    counts = coverage(connection, job_id)
    included = counts["included"] if root.status == NodeStatus.DONE else 0
    to = outcome_of_job(included, counts["failed"], counts["skipped"])
    if to == JobStatus.FAILED:
        reason = root.error or "no image could be used"
        job_failed(connection, job_id, reason, moved)
        return True
    answer = f"{root.text}\n\n{_left_out(connection, job_id)}".strip()
    connection.execute(update(Job).where(Job.id == job_id).values(answer=answer))
    if job_moved(connection, job_id, to):
        moved.ended.append(job_id)
    return True


def _left_out(connection: Connection, job_id: str) -> str:
    """A sentence naming the images that are not part of an answer; empty when all are."""
    rows = connection.execute(
        select(Image.name)
        .where(Image.job_id == job_id, Image.status.in_([ImageStatus.FAILED, ImageStatus.SKIPPED]))
        .order_by(Image.position)
    )
    names = list(rows.scalars())
    if not names:
        return ""
    shown = ", ".join(names[:LEFT_OUT_SHOWN])
    more = f" and {len(names) - LEFT_OUT_SHOWN} more" if len(names) > LEFT_OUT_SHOWN else ""
    count = "1 image is" if len(names) == 1 else f"{len(names)} images are"
    return f"({count} not part of this answer: {shown}{more})"


# ---- the moves themselves


def _move_image(
    connection: Connection, image_id: int, to: ImageStatus, token: str | None, **values: object
) -> bool:
    allowed = [state for state, targets in IMAGE_MOVES.items() if to in targets]
    guard = [Image.id == image_id, Image.status.in_(allowed)]
    if token is not None:
        guard.append(Image.lease_token == token)
    row = connection.execute(
        update(Image)
        .where(*guard)
        .values(**{"status": to, "updated_at": now(), "due_at": 0.0, **FREE, **values})
        .returning(Image.job_id)
    ).first()
    if row is not None:
        detail = values.get("error")
        _event(
            connection,
            row.job_id,
            f"image.{to}",
            image_id=image_id,
            detail=None if detail is None else str(detail),
        )
    return row is not None


def _move_node(
    connection: Connection, node_id: int, to: NodeStatus, token: str | None, **values: object
) -> bool:
    allowed = [state for state, targets in NODE_MOVES.items() if to in targets]
    guard = [Node.id == node_id, Node.status.in_(allowed)]
    if token is not None:
        guard.append(Node.lease_token == token)
    row = connection.execute(
        update(Node)
        .where(*guard)
        .values(**{"status": to, "due_at": 0.0, **FREE, **values})
        .returning(Node.job_id)
    ).first()
    if row is not None:
        detail = values.get("error")
        _event(
            connection,
            row.job_id,
            f"node.{to}",
            node_id=node_id,
            detail=None if detail is None else str(detail),
        )
    return row is not None


def _count_down_leaf(connection: Connection, node_id: int | None, by: int, moved: Moved) -> None:
    row = connection.execute(
        update(Node)
        .where(Node.id == node_id, Node.status == NodeStatus.WAITING, Node.pending >= by)
        .values(pending=Node.pending - by)
        .returning(Node.id, Node.pending)
    ).first()
    if row is not None and row.pending == 0:
        open_leaf(connection, row.id, moved)


def open_leaf(connection: Connection, node_id: int, moved: Moved) -> None:
    """A leaf that waits for nothing any more is ready, or failed where no image is left in it."""
    usable = connection.execute(
        select(func.count()).where(Image.node_id == node_id, Image.status == ImageStatus.UPLOADED)
    ).scalar_one()
    if usable == 0:
        node_failed(
            connection, node_id, RefusalCode.JOB_FAILED, "none of its images could be used", moved
        )
    elif _move_node(connection, node_id, NodeStatus.READY, None):
        moved.ready(node_id, NodeKind.LEAF)


def _child_settled(connection: Connection, node_id: int, moved: Moved) -> None:
    node = _node(connection, node_id)
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


def open_branch(connection: Connection, node_id: int, moved: Moved) -> None:
    """A branch whose children are settled is ready, or failed where none of them is done."""
    done = connection.execute(
        select(func.count()).where(Node.parent_id == node_id, Node.status == NodeStatus.DONE)
    ).scalar_one()
    if done == 0:
        node_failed(
            connection, node_id, RefusalCode.JOB_FAILED, "nothing below it could be used", moved
        )
    elif _move_node(connection, node_id, NodeStatus.READY, None):
        moved.ready(node_id, NodeKind.BRANCH)


def _count_up(connection: Connection, node_id: int | None, by: int) -> None:
    connection.execute(update(Node).where(Node.id == node_id).values(pending=Node.pending + by))


def _include(connection: Connection, node_id: int) -> None:
    rows = connection.execute(
        update(Image)
        .where(Image.node_id == node_id, Image.status == ImageStatus.UPLOADED)
        .values(status=ImageStatus.INCLUDED, updated_at=now())
        .returning(Image.id)
    ).scalars()
    image_ids = list(rows)
    if image_ids:
        _image_events(connection, image_ids, ImageStatus.INCLUDED)


def _image_events(connection: Connection, image_ids: Collection[int], status: ImageStatus) -> None:
    """One event an image, in one statement."""
    found = select(now(), Image.job_id, Image.id, literal(f"image.{status}")).where(
        Image.id.in_(image_ids)
    )
    connection.execute(insert(Event).from_select(["at", "job_id", "image_id", "name"], found))


def _images_below(connection: Connection, node_id: int) -> int:
    node = _node(connection, node_id)
    if node.kind == NodeKind.LEAF:
        counted = select(func.count()).where(
            Image.node_id == node_id, Image.status == ImageStatus.UPLOADED
        )
    else:
        counted = select(func.coalesce(func.sum(Node.images), 0)).where(
            Node.parent_id == node_id, Node.status == NodeStatus.DONE
        )
    return int(connection.execute(counted).scalar_one())


@dataclass(frozen=True, slots=True)
class _NodeRow:
    job_id: str
    parent_id: int | None
    kind: str
    level: int
    first_position: int
    last_position: int


def _node(connection: Connection, node_id: int) -> _NodeRow:
    row = connection.execute(
        select(
            Node.job_id,
            Node.parent_id,
            Node.kind,
            Node.level,
            Node.first_position,
            Node.last_position,
        ).where(Node.id == node_id)
    ).one()
    return _NodeRow(*row)


def _insert_leaf(
    connection: Connection,
    job_id: str,
    parent_id: int | None,
    split_from: int,
    image_ids: Sequence[int],
) -> int:
    first, last = connection.execute(
        select(func.min(Image.position), func.max(Image.position)).where(Image.id.in_(image_ids))
    ).one()
    node_id = _insert_node(
        connection, job_id, parent_id, split_from, NodeKind.LEAF, 0, int(first or 0), int(last or 0)
    )
    connection.execute(update(Image).where(Image.id.in_(image_ids)).values(node_id=node_id))
    return node_id


def _insert_branch(connection: Connection, parent: _NodeRow, child_ids: Sequence[int]) -> int:
    first, last, over = connection.execute(
        select(
            func.min(Node.first_position), func.max(Node.last_position), func.min(Node.parent_id)
        ).where(Node.id.in_(child_ids))
    ).one()
    node_id = _insert_node(
        connection,
        parent.job_id,
        over,
        over,
        NodeKind.BRANCH,
        parent.level,
        int(first or 0),
        int(last or 0),
    )
    connection.execute(update(Node).where(Node.id.in_(child_ids)).values(parent_id=node_id))
    return node_id


def _insert_node(
    connection: Connection,
    job_id: str,
    parent_id: int | None,
    split_from: int | None,
    kind: NodeKind,
    level: int,
    first: int,
    last: int,
) -> int:
    return connection.execute(
        insert(Node)
        .values(
            job_id=job_id,
            parent_id=parent_id,
            split_from=split_from,
            kind=kind,
            level=level,
            first_position=first,
            last_position=last,
            status=NodeStatus.READY,
            pending=0,
        )
        .returning(Node.id)
    ).scalar_one()


def _event(
    connection: Connection,
    job_id: str,
    name: str,
    image_id: int | None = None,
    node_id: int | None = None,
    detail: str | None = None,
) -> None:
    connection.execute(
        insert(Event).values(
            at=now(), job_id=job_id, image_id=image_id, node_id=node_id, name=name, detail=detail
        )
    )
