"""An image's course: prepared, uploaded, sent back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import asdict

from sqlalchemy import Connection, bindparam, exists, select, update

from core.states import (
    ImageStatus,
    JobStatus,
    NodeKind,
    NodeStatus,
)
from models.engine import now
from models.state.fanin import count_down_leaf
from models.state.moves import FREE, Moved, PreparedImage, image_events, move_image
from models.tables import Image, Job, Node


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
        image_events(connection, held, ImageStatus.PREPARED)
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
    rows = connection.execute(
        select(Image.id, Image.node_id)
        .where(Image.id.in_(image_ids), Image.lease_token == token, Image.status == status)
        .order_by(Image.id)  # one order for all, so that two slices cannot lock each other out
        .with_for_update()
    )
    return {row.id: row.node_id for row in rows}


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
        if move_image(connection, image_id, ImageStatus.PREPARED, None):
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
        select(Image.id)
        .where(Image.node_id == last.id, Image.status == ImageStatus.UPLOADED)
        .order_by(Image.id)
    ).scalars()
    image_ids = list(ids)
    images_to_upload_again(connection, image_ids)
    moved.prepared += len(image_ids)
    return len(image_ids)
