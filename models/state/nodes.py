"""Transitions of nodes: answered, postponed, reclaimed, waiting again."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, case, func, literal, select, update

from core.errors import RefusalCode
from core.states import ImageStatus, NodeKind, NodeStatus
from models.engine import now
from models.state.fanin import child_settled, images_failed
from models.state.images import images_to_upload_again
from models.state.moves import Moved, hold_job, image_events, move_node, node_row
from models.tables import Image, Node

NO_IMAGES: Mapping[int, str] = MappingProxyType({})


def node_done(
    connection: Connection,
    node_id: int,
    token: str,
    text: str,
    refused: int,
    moved: Moved,
    answers: Mapping[int, Any] | None = None,
    unanswered: Mapping[int, str] = NO_IMAGES,
) -> bool:
    """running -> done. Its images are included, its parent counts down, and a root ends its job.

    ``answers``: the images' answers by position. Images in ``unanswered`` (position -> reason)
    fail. Returns False if the lease was lost; the ledger keeps the reply for the next attempt.
    """
    node = node_row(connection, node_id)
    if node.parent_id is None or unanswered:
        hold_job(connection, node.job_id)
    if not move_node(
        connection,
        node_id,
        NodeStatus.DONE,
        token,
        text=text,
        refused_citations=refused,
        images=_images_below(connection, node_id, node.kind) - len(unanswered),
        finished_at=now(),
        error=None,
        error_code=None,
    ):
        return False
    if node.kind == NodeKind.LEAF:
        _include(connection, node_id, answers, unanswered)
        _fail_unanswered(connection, node_id, node.job_id, unanswered, moved)
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


def _include(
    connection: Connection,
    node_id: int,
    answers: Mapping[int, Any] | None,
    unanswered: Mapping[int, str],
) -> None:
    """Include a leaf's images with their answers, in one statement."""
    values: dict[str, Any] = {"status": ImageStatus.INCLUDED, "updated_at": now()}
    if answers:
        json = {position: literal(value, Image.answer.type) for position, value in answers.items()}
        values["answer"] = case(json, value=Image.position)
    rows = connection.execute(
        update(Image)
        .where(
            Image.node_id == node_id,
            Image.status == ImageStatus.UPLOADED,
            Image.position.not_in(list(unanswered)),
        )
        .values(**values)
        .returning(Image.id)
    ).scalars()
    image_ids = list(rows)
    if image_ids:
        image_events(connection, image_ids, ImageStatus.INCLUDED)


def _fail_unanswered(
    connection: Connection, node_id: int, job_id: str, unanswered: Mapping[int, str], moved: Moved
) -> None:
    rows = connection.execute(
        select(Image.id, Image.position).where(
            Image.node_id == node_id,
            Image.status == ImageStatus.UPLOADED,
            Image.position.in_(list(unanswered)),
        )
    )
    failures = {image: (RefusalCode.NO_ANSWER, unanswered[position]) for image, position in rows}
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
