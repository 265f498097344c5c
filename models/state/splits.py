"""Replaces a node by smaller ones, if its request is too large or was refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from core.states import NodeKind, NodeStatus
from models.state.moves import Moved, NodeRow, move_node, node_row
from models.tables import Image, Node


def split_leaf(
    connection: Connection,
    node_id: int,
    token: str,
    groups: Sequence[Sequence[int]],
    moved: Moved,
    unit: int | None = None,
) -> bool:
    """Replace a leaf by one ready leaf for each group of image ids.

    The new leaves become children of the leaf's parent. A root leaf becomes a branch above them,
    because a job has one root. So does a leaf over the whole of one ``unit`` (its number), because
    its parts are answered for together.
    """
    done = part_leaf(connection, node_id, token, groups, (), moved, unit=unit)
    return done is not None


def part_leaf(
    connection: Connection,
    node_id: int,
    token: str,
    groups: Sequence[Sequence[int]],
    done: Sequence[int],
    moved: Moved,
    again: Sequence[int] = (),
    unit: int | None = None,
) -> int | None:
    """The same, and one more leaf over the images ``done`` if there are any, which is done, and one
    over those of ``again``, which waits to look at them for the second time.

    Returns the id of the done one, 0 where there is none, and None if the lease was lost.
    """
    node = node_row(connection, node_id)
    becomes_branch = node.parent_id is None or unit is not None
    open_leaves = len(groups) + bool(again)
    values: dict[str, Any] = {}
    if becomes_branch:
        values = {"kind": NodeKind.BRANCH, "level": 1, "pending": open_leaves, "unit": unit}
        values |= {"attempts": 0, "error": None}
        node = replace(node, unit=unit)
    to = NodeStatus.WAITING if becomes_branch else NodeStatus.SPLIT
    if not move_node(connection, node_id, to, token, **values):
        return None
    parent_id = node_id if becomes_branch else node.parent_id
    for group in groups:
        child = _insert_leaf(connection, node, parent_id, node_id, group, NodeStatus.READY)
        moved.ready(child, NodeKind.LEAF)
    if again:
        _insert_leaf(connection, node, parent_id, node_id, again, NodeStatus.WAITING, look=2)
    if not becomes_branch:
        pending = Node.pending + open_leaves - 1
        connection.execute(update(Node).where(Node.id == parent_id).values(pending=pending))
    if not done:
        return 0
    return _insert_leaf(connection, node, parent_id, node_id, done, NodeStatus.DONE)


def split_branch(
    connection: Connection, node_id: int, token: str, groups: Sequence[Sequence[int]], moved: Moved
) -> bool:
    """Insert a level of branches, one for each group of child ids, between a branch and its
    children."""
    node = node_row(connection, node_id)
    if not move_node(
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


def _insert_leaf(
    connection: Connection,
    leaf: NodeRow,
    parent_id: int | None,
    split_from: int,
    image_ids: Sequence[int],
    status: NodeStatus,
    look: int = 1,
) -> int:
    first, last = connection.execute(
        select(func.min(Image.position), func.max(Image.position)).where(Image.id.in_(image_ids))
    ).one()
    node_id = _insert_node(
        connection,
        leaf.job_id,
        parent_id,
        split_from,
        NodeKind.LEAF,
        0,
        int(first or 0),
        int(last or 0),
        status,
        max(leaf.look, look),
        leaf.unit,
    )
    connection.execute(update(Image).where(Image.id.in_(image_ids)).values(node_id=node_id))
    return node_id


def _insert_branch(connection: Connection, parent: NodeRow, child_ids: Sequence[int]) -> int:
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
        unit=parent.unit,
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
    status: NodeStatus = NodeStatus.READY,
    look: int = 1,
    unit: int | None = None,
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
            status=status,
            look=look,
            unit=unit,
            pending=0,
        )
        .returning(Node.id)
    ).scalar_one()
