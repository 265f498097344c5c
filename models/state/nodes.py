"""A node's course: asked, answered, tried again."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, func, select, update

from core.states import (
    ImageStatus,
    NodeKind,
    NodeStatus,
)
from models.engine import now
from models.state.fanin import child_settled
from models.state.images import images_to_upload_again
from models.state.moves import Moved, image_events, move_node, node_row
from models.tables import Image, Node


def node_done(
    connection: Connection, node_id: int, token: str, text: str, refused: int, moved: Moved
) -> bool:
    """running -> done, its images are included, its parent counts down; a root ends its job.

    False when the lease was lost: the reply stays in the ledger and pays for the next try.
    """
    if not move_node(
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
    node = node_row(connection, node_id)
    if node.kind == NodeKind.LEAF:
        _include(connection, node_id)
    child_settled(connection, node_id, moved)
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


def node_reclaimed(connection: Connection, node_id: int) -> bool:
    """running -> ready: its lease ran out. The attempt stays counted."""
    return move_node(connection, node_id, NodeStatus.READY, None)


def node_waits_again(
    connection: Connection, node_id: int, token: str, gone: Collection[int], moved: Moved
) -> bool:
    """running -> waiting: images in ``gone`` must be uploaded again before it can be asked."""
    if not move_node(connection, node_id, NodeStatus.WAITING, token, pending=0):
        return False
    images_to_upload_again(connection, gone)
    moved.prepared += len(gone)
    return True


def _include(connection: Connection, node_id: int) -> None:
    rows = connection.execute(
        update(Image)
        .where(Image.node_id == node_id, Image.status == ImageStatus.UPLOADED)
        .values(status=ImageStatus.INCLUDED, updated_at=now())
        .returning(Image.id)
    ).scalars()
    image_ids = list(rows)
    if image_ids:
        image_events(connection, image_ids, ImageStatus.INCLUDED)


def _images_below(connection: Connection, node_id: int) -> int:
    node = node_row(connection, node_id)
    if node.kind == NodeKind.LEAF:
        counted = select(func.count()).where(
            Image.node_id == node_id, Image.status == ImageStatus.UPLOADED
        )
    else:
        counted = select(func.coalesce(func.sum(Node.images), 0)).where(
            Node.parent_id == node_id, Node.status == NodeStatus.DONE
        )
    return int(connection.execute(counted).scalar_one())
