"""Where a job's images are, for files that are written beside them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import select

from models.engine import Database
from models.reads.export import in_pages
from models.records import columns_of, record
from models.tables import Image

PAGE_ROWS = 10_000


@dataclass(frozen=True, slots=True)
class ImagePlace:
    """The columns of an image's row that say where it is. ``unit``: its unit's number."""

    position: int
    name: str
    location: str
    page: int | None
    root: str | None
    duplicate_of: int | None
    unit: int | None


def places(database: Database, job_id: str) -> Iterator[ImagePlace]:
    """The images in order. Each page is read in its own transaction, so no lock is held between."""
    query = select(*columns_of(ImagePlace, Image)).where(Image.job_id == job_id)
    for row in in_pages(database, query, PAGE_ROWS):
        yield record(ImagePlace, row)
