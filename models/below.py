"""Which images a node is about: those of the leaves below it. Not those between its first and its
last position, because leaves may take turns (a second look, similar images that were left out)."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, select

from core.states import NodeKind
from models.tables import Image, Node

LISTED_MAX = 10_000
"""A statement of PostgreSQL takes 65,535 values: leaves of four million images."""


def images_below(connection: Connection, node_id: int) -> ColumnElement[bool]:
    """A condition on images: they are in the node itself, or in a leaf below it."""
    tree = select(Node.id, Node.kind).where(Node.id == node_id).cte("tree", recursive=True)
    tree = tree.union_all(select(Node.id, Node.kind).join(tree, Node.parent_id == tree.c.id))
    leaves = select(tree.c.id).where(tree.c.kind == NodeKind.LEAF)
    ids = connection.execute(leaves.limit(LISTED_MAX + 1)).scalars().all()
    return Image.node_id.in_(ids if len(ids) <= LISTED_MAX else leaves)
