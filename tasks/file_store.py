"""The provider's file store as a whole: deleting, tidying after jobs, finding orphans.

Reads: the files rows, the provider's own list. Writes: files rows. A row is given up before its
file is deleted, so that nobody can rely on a file that is about to go; it keeps the file's id until
then, so a deletion that fails is made again. What is in no row ``reconcile_files`` finds by its
name.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import structlog

from core.errors import OverstoryError
from core.states import ImageStatus
from models import claims, provider_files
from models.provider_files import StoredFile
from tasks.runtime.services import Services

log = structlog.get_logger()

FILE_PREFIX = "overstory-"
"""Our files are named by their content, so that one found at the provider explains itself."""
TIDY_AT_ONCE = 64
YOUNG_SECONDS = 600.0


def delete_files(services: Services, files: Sequence[StoredFile]) -> int:
    """Delete at the provider; how many went. What cannot be deleted now is tidied up later."""
    if not files:
        return 0
    went = list(services.deleting.map(lambda file: _delete(services, file.file_id), files))
    gone = [file for file, is_gone in zip(files, went, strict=True) if is_gone]
    left = [file for file, is_gone in zip(files, went, strict=True) if not is_gone]
    with services.database.write() as connection:
        provider_files.deleted(connection, gone)
        provider_files.not_deleted(connection, left)
    return len(gone)


def room_came(services: Services) -> None:
    """A leaf was answered, so its files may go: let an upload that waits for room try now."""
    if not services.profile.file_store:
        return
    with services.database.read() as connection:
        waiting = claims.count_images(connection, services.account, ImageStatus.PREPARED, 1)
    if waiting:
        services.send("upload")


def tidy(services: Services) -> int:
    """Delete files no open job needs, a batch of them, and what was not deleted before; how many
    went."""
    if not services.profile.file_store:
        return 0
    with services.database.write() as connection:
        files = provider_files.unneeded(connection, services.account, TIDY_AT_ONCE)
    went = delete_files(services, files)
    if went == len(files):  # else the provider has just said that it deletes nothing now
        went += _delete_again(services)
        _look_for_lost(services)
    return went


def _delete_again(services: Services) -> int:
    """One first, to see whether it can be done now; how many went."""
    went = 0
    for batch in (1, TIDY_AT_ONCE):
        with services.database.read() as connection:
            if not provider_files.any_undeleted(connection, services.account):
                break
        with services.database.write() as connection:
            files = provider_files.undeleted(connection, services.account, batch)
        done = delete_files(services, files)
        went += done
        if done < len(files):
            break
    return went


def _look_for_lost(services: Services) -> None:
    """Uploads that were lost, and that no image asks for any more: what is there of them comes into
    the count, and so to be deleted. No others: they may be of another database."""
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

    adopted: int  # files of ours in no row: in the count now
    doubled: int  # contents that were there twice: the second is deleted
    vanished: int  # rows whose file is not there: forgotten
    foreign: int  # files of somebody else: left alone


def reconcile_files(services: Services, now_seconds: float) -> Reconciled:
    """Bring our count and the provider's list together. ``now_seconds``: Unix time; files younger
    than YOUNG_SECONDS may be uploads under way and are left alone."""
    with services.database.read() as connection:  # before the list, which cannot show what is newer
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
    """sha256 -> file id of contents that are at the provider, whatever our rows say: uploads whose
    reply, or worker, was lost, and files whose deletion failed. Empty where the provider cannot be
    asked."""
    try:
        listed = services.provider.files()
    except OverstoryError as error:
        log.warning("files.not_listed", error=str(error))
        return {}
    named = {content_of(file.filename): file.id for file in listed}
    return {sha: named[sha] for sha in shas if sha in named}


def content_of(filename: str) -> str | None:
    """The content hash in the name of a file of ours."""
    stem = filename.removeprefix(FILE_PREFIX).partition(".")[0]
    is_ours = filename.startswith(FILE_PREFIX) and len(stem) == 64
    return stem if is_ours else None


def _delete(services: Services, file_id: str) -> bool:
    """Whether the file is not there any more, by us or before."""
    try:
        services.provider.delete_file(file_id)
    except OverstoryError as error:
        log.warning("file.not_deleted", file=file_id, error=str(error))
        return False
    return True
