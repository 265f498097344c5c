"""Reads a job's images page by page, for exports: memory use does not grow with their number."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection, Select, select

from core.states import ImageStatus
from models.engine import Database
from models.reads.pipeline import image_columns
from models.records import record
from models.tables import Image, Node

PAGE_ROWS = 2_000
P = TypeVar("P", bound=Any)


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
    facts: dict[str, Any] | None = None


def facts_of(database: Database, job_id: str) -> Iterator[dict[str, Any]]:
    """The facts of the images that have some, in order."""
    query = select(Image.position, Image.facts).where(
        Image.job_id == job_id, Image.facts.is_not(None)
    )
    yield from (row.facts for row in in_pages(database, query))


def facts_of_units(database: Database, job_id: str) -> dict[int, dict[str, Any]]:
    """The facts that all images of a unit share, by the unit's number."""
    shared: dict[int, dict[str, Any]] = {}
    query = select(Image.position, Image.unit, Image.facts).where(Image.job_id == job_id)
    for row in in_pages(database, query):
        facts = row.facts or {}
        known = shared.setdefault(row.unit or 0, facts)
        if known != facts:
            shared[row.unit or 0] = {n: v for n, v in known.items() if facts.get(n) == v}
    return shared


def in_pages(
    database: Database, query: Select[*tuple[Any, ...]], size: int | None = None
) -> Iterator[Any]:
    """The rows of a query about a job's images, in order; it selects their positions. Each page is
    read in its own transaction, so no lock is held between. ``size``: rows of a page."""
    most = PAGE_ROWS if size is None else size

    def read(connection: Connection, after: int) -> Sequence[Any]:
        page = query.where(Image.position > after).order_by(Image.position).limit(most)
        return connection.execute(page).all()

    for page in _pages(database, read):
        yield from page


def _pages(
    database: Database, read: Callable[[Connection, int], Sequence[P]]
) -> Iterator[Sequence[P]]:
    """What ``read`` gives of the images after a position, as long as there are some."""
    after = 0
    while True:
        with database.read() as connection:
            page = read(connection, after)
        if not page:
            return
        yield page
        after = page[-1].position


def pages(database: Database, job_id: str, with_notes: bool) -> Iterator[Sequence[ImageExport]]:
    """The images in order. Each page is read in its own transaction, so no lock is held between."""
    return _pages(database, lambda connection, after: _page(connection, job_id, after, with_notes))


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
