"""Renewed leases: their holders work on."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    literal_column,
    select,
    update,
)

from models.engine import now
from models.partial_indexes import LEASED_FILE, RUNNING, TRIED
from models.tables import File, Image, Node


def renew_images(connection: Connection, tokens: Collection[str], seconds: float) -> None:
    """Renew the leases ``tokens`` of slices: on their images and on files that they upload."""
    _renew(connection, Image, and_(TRIED, Image.lease_until > 0), tokens, seconds)
    _renew(connection, File, LEASED_FILE, tokens, seconds)


def renew_nodes(connection: Connection, tokens: Collection[str], seconds: float) -> None:
    """Renew the leases ``tokens`` of nodes."""
    _renew(connection, Node, and_(RUNNING, Node.lease_until > 0), tokens, seconds, key_share=True)


def _renew(
    connection: Connection,
    table: type[Image | File | Node],
    in_index: ColumnElement[bool],
    tokens: Collection[str],
    seconds: float,
    key_share: bool = False,
) -> None:
    """Skips locked rows: they are being recorded and no longer need their lease. ``in_index``: what
    holds of every row under a lease, so that an index of few rows finds them."""
    if tokens:
        held = select(table.id).where(in_index, table.lease_token.in_(tokens))
        # with the sign, SQLite does not read all rows in the order of their ids
        held = held.order_by(literal_column(f"+{table.__tablename__}.id"))
        free = held.with_for_update(key_share=key_share, skip_locked=True).scalar_subquery()
        until = now() + seconds
        connection.execute(update(table).where(table.id.in_(free)).values(lease_until=until))
