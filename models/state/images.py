"""Transitions of images: prepared, uploaded, sent back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import fields

from sqlalchemy import Connection, and_, bindparam, exists, select, update

from core.errors import RefusalCode
from core.states import ImageStatus, JobStatus, NodeKind, NodeStatus
from models.engine import now
from models.state.fanin import count_down_leaf
from models.state.moves import FREE, Moved, PreparedImage, hold_job, image_events, move_image
from models.tables import Image, Job, Node

# Built once: these run for every slice.
_THESE = Image.id.in_(bindparam("these", expanding=True))
_MOVED = {"updated_at": now(), "attempts": 0, "error": None, **FREE}
_COLUMNS = tuple(column.name for column in fields(PreparedImage))
_PREPARED = (
    update(Image)
    .where(Image.id == bindparam("image"))
    .values(status=ImageStatus.PREPARED, **_MOVED, **{name: bindparam(name) for name in _COLUMNS})
)
_UPLOADED = update(Image).where(_THESE).values(status=ImageStatus.UPLOADED, **_MOVED)
_LEFT_OUT = (
    update(Image)
    .where(Image.id == bindparam("image"))
    .values(
        status=ImageStatus.SKIPPED,
        error_code=RefusalCode.SIMILAR,
        similar_to=bindparam("like"),
        **{**_MOVED, "error": bindparam("told")},
    )
)
_HELD = (
    select(Image.id, Image.node_id)
    .where(_THESE, Image.lease_token == bindparam("token"), Image.status == bindparam("in_status"))
    .order_by(Image.id)  # the same order in all slices, to avoid deadlocks
    .with_for_update()
)


def images_prepared(
    connection: Connection, token: str, images: Mapping[int, PreparedImage], moved: Moved
) -> set[int]:
    """pending -> prepared for a slice. Returns the ids that moved; the others lost their lease, and
    another worker has recorded them or will."""
    held = _still_held(connection, token, images, ImageStatus.PENDING)
    if held:
        rows = [{"image": image_id, **_values(images[image_id])} for image_id in held]
        connection.execute(_PREPARED, rows)
        image_events(connection, held, ImageStatus.PREPARED)
    moved.prepared += len(held)
    return set(held)


def images_uploaded(
    connection: Connection, token: str, image_ids: Collection[int], moved: Moved
) -> set[int]:
    """prepared -> uploaded for a slice; its leaves count down. Returns the ids that moved."""
    held = _still_held(connection, token, image_ids, ImageStatus.PREPARED)
    if held:
        connection.execute(_UPLOADED, {"these": list(held)})
        image_events(connection, held, ImageStatus.UPLOADED)
    # in the same order everywhere: slices that share two leaves could deadlock on PostgreSQL
    for node_id, count in sorted(Counter(leaf for leaf in held.values() if leaf).items()):
        count_down_leaf(connection, node_id, count, moved)
    return set(held)


def images_left_out(connection: Connection, job_id: str, stand_ins: Mapping[int, int]) -> set[int]:
    """prepared -> skipped for images that are similar to others: position -> position of the image
    that stands for it. The job must be locked. Returns the positions that moved."""
    own = and_(Image.job_id == job_id, Image.status == ImageStatus.PREPARED)
    locked = select(Image.id, Image.position).where(own).order_by(Image.id).with_for_update()
    ids = {row.id: row.position for row in connection.execute(locked) if row.position in stand_ins}
    if ids:
        rows = [
            {
                "image": image_id,
                "like": stand_ins[position],
                "told": similar_to(stand_ins[position]),
            }
            for image_id, position in ids.items()
        ]
        connection.execute(_LEFT_OUT, rows)
        image_events(connection, ids, ImageStatus.SKIPPED)
    return set(ids.values())


def similar_to(position: int) -> str:
    """What is said of an image for which the one at ``position`` stands."""
    return f"similar to [{position}]"


def _still_held(
    connection: Connection, token: str, image_ids: Collection[int], status: ImageStatus
) -> dict[int, int | None]:
    """Of ``image_ids``, those in ``status`` under the lease ``token``, with their leaves. They are
    locked until the end of the transaction."""
    values = {"these": list(image_ids), "token": token, "in_status": status}
    return {row.id: row.node_id for row in connection.execute(_HELD, values)}


def _values(image: PreparedImage) -> dict[str, object]:
    return {name: getattr(image, name) for name in _COLUMNS}


def images_postponed(
    connection: Connection,
    image_ids: Collection[int],
    token: str,
    after_seconds: float,
    reason: str,
    costs_attempt: bool,
) -> None:
    """Release images in their state, due later."""
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
    """prepared -> pending, for an image whose prepared bytes are gone."""
    return move_image(connection, image_id, ImageStatus.PENDING, token, error=reason)


def images_to_upload_again(connection: Connection, node_id: int, image_ids: Collection[int]) -> int:
    """uploaded -> prepared, for images whose file is gone. Their leaf, which must be locked and
    waiting, counts up by as many. Returns their number."""
    again = connection.execute(
        update(Image)
        .where(
            Image.id.in_(image_ids), Image.node_id == node_id, Image.status == ImageStatus.UPLOADED
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
    after the leaf of ``image_id``. Returns their number.

    It resolves a file store full of leaves that all wait for their last images. Leaves are ordered
    by their job's age and their position in it, and only a later one gives way, so the first leaf
    always makes progress.
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
    if not _still_waits(connection, last.id):  # its last image has arrived: it makes room itself
        return 0
    uploaded = select(Image.id).where(
        Image.node_id == last.id, Image.status == ImageStatus.UPLOADED
    )
    ids = connection.execute(uploaded).scalars().all()
    sent_back = images_to_upload_again(connection, last.id, ids)
    moved.prepared += sent_back
    return sent_back


def _still_waits(connection: Connection, node_id: int) -> bool:
    """Whether a node still waits. Locks it, so that this stays true in the transaction."""
    held = (
        select(Node.id)
        .where(Node.id == node_id, Node.status == NodeStatus.WAITING)
        .with_for_update(key_share=True)
    )
    return connection.execute(held).first() is not None
