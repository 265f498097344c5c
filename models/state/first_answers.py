"""What is known of a leaf's images from their first look, for when a second one ends badly."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, select, update

from core.requests.leaf import lines_of
from core.states import ImageStatus
from models.engine import now
from models.state.moves import FREE, image_events
from models.tables import Image

LOOKED_AT_BEFORE = and_(Image.look > 1, Image.seen.is_not(None))
"""Images of a second look that have an answer or a line of the first one."""


def keep_first(connection: Connection, which: ColumnElement[bool]) -> int:
    """Include the images for which ``which``, as their first look says. Returns their number."""
    locked = select(Image.id).where(which, LOOKED_AT_BEFORE).order_by(Image.id).with_for_update()
    ids = connection.execute(locked).scalars().all()
    if ids:
        connection.execute(
            update(Image)
            .where(Image.id.in_(ids))
            .values(status=ImageStatus.INCLUDED, updated_at=now(), error=None, **FREE)
        )
        image_events(connection, ids, ImageStatus.INCLUDED)
    return len(ids)


def leaf_values(connection: Connection, node_id: int, rest: str = "") -> dict[str, Any]:
    """The columns ``text`` and ``images`` of a leaf, from what its included images say. ``rest``:
    notes about no single image."""
    rows = connection.execute(
        select(Image.position, Image.answer, Image.note)
        .where(Image.node_id == node_id, Image.status == ImageStatus.INCLUDED)
        .order_by(Image.position)
    ).all()
    said = [(row.position, row.note if row.answer is None else row.answer) for row in rows]
    lines = lines_of([(position, value) for position, value in said if value is not None])
    return {"text": "\n\n".join(part for part in (lines, rest) if part), "images": len(rows)}
