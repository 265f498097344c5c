"""The provider's file store: delete files, clean up after jobs, find orphans.

Reads: the files rows, the provider's own list. Writes: files rows. A row is marked before its file
is deleted, so no other worker relies on the file. The row keeps the file's id until the file is
deleted, so a failed deletion is retried. ``reconcile_files`` finds files without a row by their
names.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import structlog

from core.errors import OverstoryError
from core.stages import UPLOAD
from core.states import ImageStatus
from models import claims, provider_files
from models.provider_files import StoredFile
from tasks.runtime.services import Services

log = structlog.get_logger()

FILE_PREFIX = "overstory-"
"""Our files are named by the hash of their content, so we can identify them at the provider."""
TIDY_AT_ONCE = 64
YOUNG_SECONDS = 600.0


def delete_files(services: Services, files: Sequence[StoredFile]) -> int:
    """Delete files at the provider; returns how many. ``tidy`` retries the others later."""
    if not files:
        return 0
    results = list(services.deleting.map(lambda file: _delete(services, file.file_id), files))
    gone = [file for file, is_gone in zip(files, results, strict=True) if is_gone]
    left = [file for file, is_gone in zip(files, results, strict=True) if not is_gone]
    with services.database.write() as connection:
        provider_files.deleted(connection, gone)
        provider_files.not_deleted(connection, left)
    return len(gone)


def room_came(services: Services) -> None:
    """A leaf was answered, so its files can be deleted: wake up an upload that waits for room."""
    if not (services.settings.uses_file_store and services.settings.waits_for_room):
        return
    with services.database.read() as connection:
        waiting = claims.count_images(connection, services.account, ImageStatus.PREPARED, 1)
    if waiting:
        services.send(UPLOAD.name)


def tidy(services: Services, next_question_seconds: float = 0.0) -> int:
    """Delete a batch of files that no open job needs, and retry failed deletions; returns how many
    were deleted. Files of a further question wait ``next_question_seconds`` for the next one.

    One thread of a process at a time: a run that finds nothing left ends, which would cancel the
    deletions that its reconciler has just begun.
    """
    if not services.profile.file_store:
        return 0
    with services.tidying:
        return _tidy(services, next_question_seconds)


def _tidy(services: Services, next_question_seconds: float) -> int:
    with services.database.write() as connection:
        files = provider_files.unneeded(
            connection, services.account, TIDY_AT_ONCE, next_question_seconds
        )
    deleted = delete_files(services, files)
    if deleted == len(files):  # else deletions fail at the moment
        deleted += _delete_again(services)
        _adopt_lost(services)
    return deleted


def _delete_again(services: Services) -> int:
    """Retry failed deletions: one first, to see whether it works now. Returns how many worked."""
    deleted = 0
    for batch in (1, TIDY_AT_ONCE):
        with services.database.read() as connection:
            if not provider_files.any_undeleted(connection, services.account):
                break
        with services.database.write() as connection:
            files = provider_files.undeleted(connection, services.account, batch)
        done = delete_files(services, files)
        deleted += done
        if done < len(files):
            break
    return deleted


def _adopt_lost(services: Services) -> None:
    """Find uploads with an unknown outcome that no image needs now. Those at the provider get a
    row, so that ``tidy`` deletes them. Other files may belong to another database: they stay."""
    account = services.account
    with services.database.read() as connection:
        lost = provider_files.unclaimed(connection, account, YOUNG_SECONDS)
    if not lost:
        return
    named = {content_of(file.filename): file for file in services.provider.files()}
    with services.database.write() as connection:
        for sha in lost:
            if (file := named.get(sha)) is not None:
                provider_files.adopt(connection, account, sha, file.id, file.bytes)
        provider_files.never_came(connection, account, lost)


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What differed between the provider's list and ours."""

    adopted: int  # our files without a row: they have one now
    doubled: int  # contents stored twice: the second file is deleted
    vanished: int  # rows whose file does not exist: removed
    foreign: int  # files that are not ours: left alone


def reconcile_files(services: Services, now_seconds: float) -> Reconciled:
    """Make our rows agree with the provider's list. ``now_seconds``: Unix time; files younger than
    YOUNG_SECONDS may be running uploads and are left alone."""
    with services.database.read() as connection:  # before the list: newer files are not in it
        known = provider_files.known_ids(connection, services.account)
    remote = {file.id: file for file in services.provider.files()}
    vanished = known - set(remote)
    ours = {i: sha for i, file in remote.items() if (sha := content_of(file.filename))}
    doubled: list[str] = []
    adopted = 0
    with services.database.write() as connection:
        known = provider_files.known_ids(connection, services.account)
        provider_files.gone(connection, services.account, vanished)
        for file_id, sha256 in ours.items():
            file = remote[file_id]
            if file_id in known or now_seconds - file.created_at < YOUNG_SECONDS:
                continue
            if provider_files.adopt(connection, services.account, sha256, file_id, file.bytes):
                adopted += 1
            else:
                doubled.append(file_id)
    for file_id in doubled:
        _delete(services, file_id)
    return Reconciled(adopted, len(doubled), len(vanished), len(remote) - len(ours))


def found_at_provider(services: Services, shas: Collection[str]) -> dict[str, str]:
    """sha256 -> file id of contents in the provider's list, whatever our rows say: uploads whose
    reply or worker was lost, and files whose deletion failed. Empty if the list cannot be read."""
    try:
        listed = services.provider.files()
    except OverstoryError as error:
        log.warning("files.not_listed", error=str(error))
        return {}
    named = {content_of(file.filename): file.id for file in listed}
    return {sha: named[sha] for sha in shas if sha in named}


def content_of(filename: str) -> str | None:
    """The content hash in the name of one of our files; None for other files."""
    stem = filename.removeprefix(FILE_PREFIX).partition(".")[0]
    is_ours = filename.startswith(FILE_PREFIX) and len(stem) == 64
    return stem if is_ours else None


def _delete(services: Services, file_id: str) -> bool:
    """Whether the file is gone: deleted now, or before."""
    try:
        services.provider.delete_file(file_id)
    except OverstoryError as error:
        log.warning("file.not_deleted", file=file_id, error=str(error))
        return False
    return True
