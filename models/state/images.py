"""An image's course: prepared, uploaded, sent back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import fields

from sqlalchemy import Connection, bindparam, exists, select, update

from core.states import (
    ImageStatus,
    JobStatus,
    NodeKind,
    NodeStatus,
)
from models.engine import now
from models.state.fanin import count_down_leaf
from models.state.moves import (
    FREE,
    Moved,
    PreparedImage,
    hold_job,
    image_events,
    move_image,
)
from models.tables import Image, Job, Node

# Built once: these are run for every slice.
_THESE = Image.id.in_(bindparam("these", expanding=True))
_MOVED = {"updated_at": now(), "attempts": 0, "error": None, **FREE}
_COLUMNS = tuple(column.name for column in fields(PreparedImage))
_PREPARED = (
    update(Image)
    .where(Image.id == bindparam("image"))
    .values(status=ImageStatus.PREPARED, **_MOVED, **{name: bindparam(name) for name in _COLUMNS})
)
_UPLOADED = update(Image).where(_THESE).values(status=ImageStatus.UPLOADED, **_MOVED)
_HELD = (
    select(Image.id, Image.node_id)
    .where(_THESE, Image.lease_token == bindparam("token"), Image.status == bindparam("in_status"))
    .order_by(Image.id)  # one order for all, so that two slices cannot lock each other out
    .with_for_update()
)


def images_prepared(
    connection: Connection, token: str, made: Mapping[int, PreparedImage], moved: Moved
) -> set[int]:
    """pending -> prepared for a slice; the ids that moved. What is not among them lost its lease:
    somebody else has recorded it or will."""
    held = _still_held(connection, token, made, ImageStatus.PENDING)
    if held:
        found = [{"image": image_id, **_values(made[image_id])} for image_id in held]
        connection.execute(_PREPARED, found)
        image_events(connection, held, ImageStatus.PREPARED)
    moved.prepared += len(held)
    return set(held)


def images_uploaded(
    connection: Connection, token: str, image_ids: Collection[int], moved: Moved
) -> set[int]:
    """prepared -> uploaded for a slice, and its leaves count down; the ids that moved."""
    held = _still_held(connection, token, image_ids, ImageStatus.PREPARED)
    if held:
        connection.execute(_UPLOADED, {"these": list(held)})
        image_events(connection, held, ImageStatus.UPLOADED)
    # in one order for all: slices that share two leaves would deadlock on PostgreSQL
    for node_id, count in sorted(Counter(leaf for leaf in held.values() if leaf).items()):
        count_down_leaf(connection, node_id, count, moved)
    return set(held)


def _still_held(
    connection: Connection, token: str, image_ids: Collection[int], status: ImageStatus
) -> dict[int, int | None]:
    """Of ``image_ids``, those in ``status`` under the lease ``token``, with their leaves; locked
    until the end of the transaction."""
    found = {"these": list(image_ids), "token": token, "in_status": status}
    return {row.id: row.node_id for row in connection.execute(_HELD, found)}


def _values(made: PreparedImage) -> dict[str, object]:
    return {name: getattr(made, name) for name in _COLUMNS}


def images_postponed(
    connection: Connection,
    image_ids: Collection[int],
    token: str,
    after_seconds: float,
    reason: str,
    costs_attempt: bool,
) -> None:
    """Back to where they were, due later."""
    connection.execute(
        update(Image)
        .where(Image.id.in_(image_ids), Image.lease_token == token)
        .values(
            due_at=now() + after_seconds,
            attempts=Image.attempts if costs_attempt else Image.attempts - 1,
            error=reason,
            **FREE,
        )
    )


def image_to_prepare_again(connection: Connection, image_id: int, token: str, reason: str) -> bool:
    """prepared -> pending for an image whose prepared bytes are gone."""
    return move_image(connection, image_id, ImageStatus.PENDING, token, error=reason)


def images_to_upload_again(connection: Connection, node_id: int, image_ids: Collection[int]) -> int:
    """uploaded -> prepared for images whose file is gone; their leaf, which is locked and waiting,
    counts up again by as many. How many there were."""
    again = connection.execute(
        update(Image)
        .where(
            Image.id.in_(image_ids),
            Image.node_id == node_id,
            Image.status == ImageStatus.UPLOADED,
        )
        .values(status=ImageStatus.PREPARED, updated_at=now(), due_at=0.0, **FREE)
        .returning(Image.id)
    )
    ids = again.scalars().all()
    if ids:
        image_events(connection, ids, ImageStatus.PREPARED)
        more = update(Node).where(Node.id == node_id).values(pending=Node.pending + len(ids))
        connection.execute(more)
    return len(ids)


def unpin_later_leaf(connection: Connection, account: str, image_id: int, moved: Moved) -> int:
    """Send the uploaded images of the last unfinished leaf back to upload, if that leaf comes
    after the one of ``image_id``; how many there were.

    When the file store is full of leaves that all wait for their last images, somebody has to give
    way. Leaves are ordered by their job's age and their place in it, and only a later one gives
    way, so the first always gets on.
    """
    rank = (Job.created_at, Job.id.label("job_id"), Node.first_position)
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
    hold_job(connection, last.job_id)
    if not _still_waits(connection, last.id):  # its last image has just come: it gives room itself
        return 0
    uploaded = select(Image.id).where(
        Image.node_id == last.id, Image.status == ImageStatus.UPLOADED
    )
    ids = connection.execute(uploaded).scalars().all()
    sent_back = images_to_upload_again(connection, last.id, ids)
    moved.prepared += sent_back
    return sent_back


def _still_waits(connection: Connection, node_id: int) -> bool:
    """Whether a node waits for something; it is locked then, so that it goes on to."""
    held = (
        select(Node.id)
        .where(Node.id == node_id, Node.status == NodeStatus.WAITING)
        .with_for_update(key_share=True)
    )
    return connection.execute(held).first() is not None
