"""Transitions of nodes: answered, postponed, reclaimed, waiting again."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Connection, case, func, literal, null, select, update

from core.errors import RefusalCode
from core.requests.review import LeafImages
from core.states import ImageStatus, NodeKind, NodeStatus
from models.engine import now
from models.state.fanin import child_settled, images_failed
from models.state.images import images_to_upload_again
from models.state.moves import Moved, event, hold_job, image_events, move_node, node_row
from models.state.splits import part_leaf
from models.state.units import answer_units, from_parts
from models.tables import Image, Node


def node_done(
    connection: Connection,
    node_id: int,
    token: str,
    text: str,
    refused: int,
    moved: Moved,
    images: LeafImages | None = None,
) -> bool:
    """running -> done. Its parent counts down, and a root ends its job.

    ``images``: of a leaf, which are included and which fail. Returns False if the lease was lost;
    the ledger keeps the reply for the next attempt.
    """
    node = node_row(connection, node_id)
    text, units = from_parts(connection, node, text)
    unseen = images.unseen if images is not None else {}
    if node.parent_id is None or unseen:
        hold_job(connection, node.job_id)
    if not move_node(
        connection,
        node_id,
        NodeStatus.DONE,
        token,
        text=text,
        refused_citations=refused,
        images=_images_below(connection, node_id, node.kind) - len(unseen),
        finished_at=now(),
        error=None,
        error_code=None,
    ):
        return False
    if images is not None:
        include(connection, node_id, images)
        units |= images.units
        fail_unseen(connection, node_id, node.job_id, unseen, moved)
    answer_units(connection, node.job_id, units)
    child_settled(connection, node_id, moved)
    return True


def leaf_parted(
    connection: Connection,
    node_id: int,
    token: str,
    text: str,
    refused: int,
    images: LeafImages,
    moved: Moved,
) -> bool:
    """Replace a leaf by one that is done, over the images that were seen, and a ready one for each
    group of ``images.apart``. Returns False if the lease was lost."""
    shown = select(Image.id, Image.position).where(
        Image.node_id == node_id, Image.status == ImageStatus.UPLOADED
    )
    ids = {row.position: row.id for row in connection.execute(shown)}
    seen = [ids[position] for position in images.seen if position in ids]
    apart = [[ids[p] for p in group if p in ids] for group in images.apart]
    groups = [group for group in apart if group]
    done = part_leaf(connection, node_id, token, groups, seen, moved, unit=images.divided)
    if done is None:
        return False
    answer_units(connection, node_row(connection, node_id).job_id, images.units)
    if seen:
        connection.execute(
            update(Node)
            .where(Node.id == done)
            .values(text=text, refused_citations=refused, images=len(seen), finished_at=now())
        )
        include(connection, done, images)
        event(connection, node_row(connection, done).job_id, "node.done", node_id=done)
    return True


def node_postponed(
    connection: Connection,
    node_id: int,
    token: str,
    after_seconds: float,
    reason: str | None,
    costs_attempt: bool,
) -> None:
    """running -> ready, due later."""
    move_node(
        connection,
        node_id,
        NodeStatus.READY,
        token,
        due_at=now() + after_seconds,
        attempts=Node.attempts if costs_attempt else Node.attempts - 1,
        error=reason,
    )


def node_reclaimed(connection: Connection, node_id: int, token: str) -> bool:
    """running -> ready: the lease ``token`` expired. The attempt stays counted."""
    return move_node(connection, node_id, NodeStatus.READY, token)


def node_waits_again(
    connection: Connection, node_id: int, token: str, gone: Collection[int], moved: Moved
) -> bool:
    """running -> waiting: the images ``gone`` must be uploaded again before it can be asked."""
    if not move_node(connection, node_id, NodeStatus.WAITING, token, pending=0):
        return False
    moved.prepared += images_to_upload_again(connection, node_id, gone)
    return True


def include(connection: Connection, node_id: int, images: LeafImages) -> None:
    """Include a leaf's images with what was said about them, in one statement."""
    values: dict[str, Any] = {
        "status": ImageStatus.INCLUDED,
        "updated_at": now(),
        "unclear": None,
    }
    for column, given in (
        (Image.answer, images.answers),
        (Image.note, images.notes),
        (Image.seen, images.seen),
        (Image.unclear, {p: list(fields) for p, fields in images.unclear.items()}),
    ):
        kinds = set(given.values()) if column is Image.seen else ()
        if len(kinds) == 1:
            values[column.name] = next(iter(kinds))
        elif given:
            cases = {position: literal(value, column.type) for position, value in given.items()}
            other = null() if column is Image.unclear else None
            values[column.name] = case(cases, value=Image.position, else_=other)
    rows = connection.execute(
        update(Image)
        .where(
            Image.node_id == node_id,
            Image.status == ImageStatus.UPLOADED,
            Image.position.in_(list(images.seen)),
        )
        .values(**values)
        .returning(Image.id)
    ).scalars()
    image_ids = list(rows)
    if image_ids:
        image_events(connection, image_ids, ImageStatus.INCLUDED)


def fail_unseen(
    connection: Connection,
    node_id: int,
    job_id: str,
    unseen: Mapping[int, tuple[RefusalCode, str]],
    moved: Moved,
) -> None:
    if not unseen:
        return
    rows = connection.execute(
        select(Image.id, Image.position).where(
            Image.node_id == node_id,
            Image.status == ImageStatus.UPLOADED,
            Image.position.in_(list(unseen)),
        )
    )
    failures = {image: unseen[position] for image, position in rows}
    images_failed(connection, job_id, failures, moved)


def _images_below(connection: Connection, node_id: int, kind: str) -> int:
    if kind == NodeKind.LEAF:
        counted = select(func.count()).where(
            Image.node_id == node_id, Image.status == ImageStatus.UPLOADED
        )
    else:
        counted = select(func.coalesce(func.sum(Node.images), 0)).where(
            Node.parent_id == node_id, Node.status == NodeStatus.DONE
        )
    return int(connection.execute(counted).scalar_one())
