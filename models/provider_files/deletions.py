"""Giving up stored files, and what came of their deletion at the provider."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, exists, or_, select, update

from core.states import ENDED_JOBS, FileStatus, ImageStatus, JobStatus
from models.engine import now
from models.provider_files.room import DELETE_SECONDS, RECORDED
from models.records import columns_of, record
from models.tables import File, Image, Job

DELETE_AGAIN_SECONDS = 86_400.0
"""How long after its last try a failed deletion is retried; each try starts this time again. It
keeps the search small among all files that were deleted long ago."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file in the provider's store."""

    id: int
    file_id: str
    sha256: str
    bytes: int


def evict(connection: Connection, account: str, count: int) -> list[StoredFile]:
    """Give up the ``count`` least recently used files that no image waits for; delete them next.

    The same transaction chooses the rows and marks them gone, so that no leaf can start to rely on
    a file that is about to be deleted. Files for paused jobs alone go last: such a job uploads them
    again when it resumes.
    """
    running, paused = (
        _waited_for(account, status) for status in (JobStatus.RUNNING, JobStatus.PAUSED)
    )
    chosen = _give_up(connection, account, ~or_(running, paused), count)
    if len(chosen) < count:  # a second query: sorting by this would read all stored files
        chosen += _give_up(connection, account, ~running, count - len(chosen))
    return chosen


def unneeded(
    connection: Connection, account: str, limit: int, next_question_seconds: float
) -> list[StoredFile]:
    """Give up to ``limit`` files that no open job needs and no job asked to keep; delete them
    next. Those of a further question stay for ``next_question_seconds`` after their last use."""
    needed = exists().where(
        Image.sha256 == File.sha256,
        Image.job_id == Job.id,
        Job.account == account,
        or_(
            Job.status.not_in(ENDED_JOBS),
            Job.options["keep_files"].as_boolean(),
            and_(Job.follows.is_not(None), File.used_at > now() - next_question_seconds),
        ),
    )
    return _give_up(connection, account, ~needed, limit)


def _waited_for(account: str, status: JobStatus) -> ColumnElement[bool]:
    """Whether an image in a job of ``status`` waits for the file, or is being recorded."""
    return exists().where(
        Image.sha256 == File.sha256,
        or_(Image.status == ImageStatus.UPLOADED, RECORDED),
        Image.job_id == Job.id,
        Job.account == account,
        Job.status == status,
    )


def _give_up(
    connection: Connection, account: str, which: ColumnElement[bool], limit: int
) -> list[StoredFile]:
    stored = [File.account == account, File.status == FileStatus.STORED, which]
    return _to_delete(connection, stored, limit)


def _to_delete(
    connection: Connection, which: Sequence[ColumnElement[bool]], limit: int
) -> list[StoredFile]:
    rows = connection.execute(
        select(*columns_of(StoredFile, File))
        .where(*which)
        .order_by(File.used_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    chosen = [record(StoredFile, row) for row in rows]
    connection.execute(
        update(File)
        .where(File.id.in_([file.id for file in chosen]))
        .values(
            status=FileStatus.GONE,
            deleted_at=now(),
            used_at=now(),
            lease_until=now() + DELETE_SECONDS,
        )
    )
    return chosen


def deleted(connection: Connection, files: Collection[StoredFile]) -> None:
    """The provider has deleted these files: their places are free."""
    _update_given_up(connection, files, deleted_at=now(), lease_until=0.0, file_id=None)


def not_deleted(connection: Connection, files: Collection[StoredFile]) -> None:
    """The provider has not deleted these files: retry later."""
    _update_given_up(connection, files, lease_until=0.0)


def _update_given_up(
    connection: Connection, files: Collection[StoredFile], **values: object
) -> None:
    """Does not touch files that were uploaded again meanwhile."""
    connection.execute(
        update(File)
        .where(
            File.id.in_([file.id for file in files]),
            File.file_id.in_([file.file_id for file in files]),
            File.status == FileStatus.GONE,
        )
        .values(**values)
    )


def any_undeleted(connection: Connection, account: str) -> bool:
    """Whether a deletion failed or lost its worker: a cheap check before a write transaction."""
    return bool(connection.execute(select(exists().where(*_undeleted(account)))).scalar())


def undeleted(connection: Connection, account: str, limit: int) -> list[StoredFile]:
    """Up to ``limit`` files that were given up but not deleted yet; delete them next."""
    return _to_delete(connection, _undeleted(account), limit)


def _undeleted(account: str) -> list[ColumnElement[bool]]:
    return [
        File.account == account,
        File.status == FileStatus.GONE,
        File.used_at > now() - DELETE_AGAIN_SECONDS,
        File.file_id.is_not(None),
        File.lease_until <= now(),
    ]


def gone(connection: Connection, account: str, file_ids: Collection[str]) -> None:
    """The provider no longer has these files."""
    connection.execute(
        update(File)
        .where(File.account == account, File.file_id.in_(file_ids))
        .values(status=FileStatus.GONE, file_id=None, deleted_at=now())
    )


def lost(
    connection: Connection, account: str, shas: Collection[str], file_ids: Collection[str]
) -> set[str]:
    """Mark ``file_ids`` as gone. Returns those of ``shas`` that are not stored."""
    gone(connection, account, file_ids)
    stored = select(File.sha256).where(
        File.account == account, File.sha256.in_(shas), File.status == FileStatus.STORED
    )
    return set(shas) - set(connection.execute(stored).scalars())
