"""Reads a job's images page by page, for exports: memory use does not grow with their number."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from core.states import ImageStatus
from models.engine import Database
from models.reads.pipeline import image_columns
from models.records import record
from models.tables import Image, Node

PAGE_ROWS = 2_000


@dataclass(frozen=True, slots=True)
class ImageExport:
    """The columns of an image's row. ``notes``: the whole text of its leaf, if the image has no
    ``note`` of its own."""

    position: int
    name: str
    location: str
    page: int | None
    status: ImageStatus
    duplicate_of: int | None
    error_code: str | None
    error: str | None
    answer: Any
    seen: str | None
    look: int
    unclear: list[str] | None
    note: str | None
    unit: int | None
    notes: str


def pages(database: Database, job_id: str, with_notes: bool) -> Iterator[list[ImageExport]]:
    """The images in order. Each page is read in its own transaction, so no lock is held between."""
    after = 0
    while True:
        with database.read() as connection:
            page = _page(connection, job_id, after, with_notes)
        if not page:
            return
        yield page
        after = page[-1].position


def _page(connection: Connection, job_id: str, after: int, with_notes: bool) -> list[ImageExport]:
    rows = connection.execute(
        select(Image.node_id, *image_columns(ImageExport))
        .where(Image.job_id == job_id, Image.position > after)
        .order_by(Image.position)
        .limit(PAGE_ROWS)
    ).all()
    leaves = {row.node_id for row in rows if row.node_id is not None and row.note is None}
    texts = _texts(connection, leaves) if with_notes else {}
    return [
        record(
            ImageExport, row, status=ImageStatus(row.status), notes=texts.get(row.node_id or 0, "")
        )
        for row in rows
    ]


def _texts(connection: Connection, node_ids: Collection[int]) -> dict[int, str]:
    rows = connection.execute(select(Node.id, Node.text).where(Node.id.in_(node_ids)))
    return {row.id: row.text or "" for row in rows}
