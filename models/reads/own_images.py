"""Reads a job's own images: as they were submitted, and as they are before they are compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from core.states import ImageStatus
from models.reads.lineage import KnownImage
from models.records import columns_of, record
from models.tables import Image


@dataclass(frozen=True, slots=True)
class SourceRow:
    """An image of a job as it was submitted."""

    position: int
    name: str
    location: str
    page: int | None
    bytes: int | None
    root: str | None
    changed_ns: int | None
    version: str | None
    facts: dict[str, Any] | None


def sources_of(connection: Connection, job_id: str) -> list[SourceRow]:
    """A job's images as they were submitted, in order."""
    columns = columns_of(SourceRow, Image)
    query = select(*columns).where(Image.job_id == job_id).order_by(Image.position)
    return [record(SourceRow, row) for row in connection.execute(query)]


@dataclass(frozen=True, slots=True)
class OwnImage:
    """An image of a job whose images are compared."""

    known: KnownImage
    unit: int | None
    duplicate_of: int | None


def own_images(connection: Connection, job_id: str) -> list[OwnImage]:
    """A job's images as their rows are, in order."""
    rows = connection.execute(
        select(Image.unit, Image.duplicate_of, *columns_of(KnownImage, Image))
        .where(Image.job_id == job_id)
        .order_by(Image.position)
    )
    return [OwnImage(KnownImage(*row[2:]), row[0], row[1]) for row in rows]


def statuses(connection: Connection, job_id: str) -> list[ImageStatus]:
    """The status of each image of a job, in order."""
    query = select(Image.status).where(Image.job_id == job_id).order_by(Image.position)
    return [ImageStatus(status) for status in connection.execute(query).scalars()]
