"""Reads of stored files: ids, counts, sizes and storage time."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from core.states import FileStatus
from models.engine import now
from models.records import columns_of, record
from models.tables import File


@dataclass(frozen=True, slots=True)
class FileRow:
    """A stored file as people see it; ``seconds`` since it was uploaded."""

    file_id: str | None
    sha256: str
    bytes: int
    uploaded_at: float | None
    used_at: float
    seconds: float | None


def ids_of(connection: Connection, account: str, shas: Collection[str]) -> dict[str, str]:
    """sha256 -> file id of those contents that are stored."""
    # not filtered by status: SQLite would read all stored files, instead of looking up each content
    rows = connection.execute(
        select(File.sha256, File.file_id, File.status).where(
            File.account == account, File.sha256.in_(shas)
        )
    )
    stored = [row for row in rows if row.status == FileStatus.STORED]
    return {row.sha256: row.file_id for row in stored if row.file_id}


def known_ids(connection: Connection, account: str) -> set[str]:
    """File ids of the account's stored files."""
    rows = connection.execute(
        select(File.file_id).where(File.account == account, File.status == FileStatus.STORED)
    )
    return {file_id for file_id in rows.scalars() if file_id}


def counts(connection: Connection, account: str) -> tuple[int, int]:
    """The number of the account's stored files, and their bytes."""
    row = connection.execute(
        select(func.count(), func.coalesce(func.sum(File.bytes), 0)).where(
            File.account == account, File.status == FileStatus.STORED
        )
    ).one()
    return row[0], int(row[1])


def listed(connection: Connection, account: str) -> list[FileRow]:
    """All stored files of the account, oldest first."""
    rows = connection.execute(
        select(*columns_of(FileRow, File), (now() - File.uploaded_at).label("seconds"))
        .where(File.account == account, File.status == FileStatus.STORED)
        .order_by(File.uploaded_at)
    )
    return [record(FileRow, row) for row in rows]


def byte_seconds(connection: Connection, account: str) -> float:
    """The account's storage so far, in bytes times seconds, deleted files included."""
    until = func.coalesce(File.deleted_at, now())
    total = select(func.coalesce(func.sum(File.bytes * (until - File.uploaded_at)), 0.0)).where(
        File.account == account, File.uploaded_at.is_not(None)
    )
    return float(connection.execute(total).scalar_one())
