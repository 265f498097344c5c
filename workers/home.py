"""The state folder: only its owner may read it, also if an earlier version made it.

Commands call this before they read anything from the folder, so it imports little.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from clients import private_files
from clients.private_files import NotOurs
from workers.endpoints import EARLIER_DATABASE, stack_file

CREATED = ("run", "logs", "blobs")
SCANNED = ("run", "blobs", "spool", "broker", "documents", "uploads")
"""Folders in which no link may be: what is written there is not always opened by us."""
DATABASE = "overstory.db"
DATABASE_FILES = (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm", f"{DATABASE}-journal")
NAMES = {*CREATED, *SCANNED, *DATABASE_FILES, EARLIER_DATABASE, "postgres", "profiles"}
"""What we make in a home."""


def make_private(home: Path) -> None:
    """Take the rights of others away from the state folder, if it exists, and from what is in it.

    Raises OSError if the folder cannot be read. Raises NotOurs for a folder of another user, for
    one that everybody may write to, and for a link in place of a folder or of the database.
    """
    if not home.is_dir():
        return
    with _opened(home) as descriptor:
        status = os.fstat(descriptor)
        mine = status.st_uid == os.geteuid()
        if mine and (status.st_mode & private_files.WRITERS or _is_only_ours(descriptor)):
            private_files.take_rights(descriptor, status)
    for name in (*CREATED, *SCANNED):
        if os.path.lexists(home / name):
            private_files.private_folder(home / name)
    for name in DATABASE_FILES:
        _make_private(home / name)
    _make_private(stack_file(home))


def not_ours(home: Path) -> str | None:
    """Why an existing state folder is not used; None if it is ours or cannot be read."""
    try:
        with _opened(home):
            return None
    except NotOurs as error:
        return str(error)
    except OSError:
        return None


def open_to_others(home: Path) -> list[str]:
    """The home and what is in it, where other users may read or write them. Nothing in a private
    home is open to others."""
    if not _is_open(home):
        return []
    places = (home, *(home / name for name in (*CREATED, *SCANNED, *DATABASE_FILES)))
    return [str(place) for place in dict.fromkeys(places) if _is_open(place)]


def _is_open(place: Path) -> bool:
    try:
        return bool(stat.S_IMODE(place.stat().st_mode) & private_files.OTHERS)
    except OSError:
        return False


@contextlib.contextmanager
def _opened(home: Path) -> Iterator[int]:
    """The home's descriptor. The home may be a link if this user or root has made the link."""
    trusted = (os.geteuid(), 0)
    if home.is_symlink() and home.lstat().st_uid not in trusted:
        raise NotOurs(home, "is a link of another user")
    descriptor = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if status.st_uid not in trusted:
            raise NotOurs(home, "belongs to another user")
        if status.st_mode & stat.S_ISVTX and status.st_mode & stat.S_IWOTH:
            raise NotOurs(home, "is a folder for the files of everybody")
        yield descriptor
    finally:
        os.close(descriptor)


def _is_only_ours(descriptor: int) -> bool:
    """Whether a folder holds what we make and nothing else: a folder that is used for other things
    too keeps its mode."""
    with os.scandir(descriptor) as entries:
        return all(entry.name in NAMES for entry in entries)


def _make_private(file: Path) -> None:
    """Not by a descriptor: closing one would free the locks that SQLite holds in this process."""
    try:
        status = file.lstat()
    except FileNotFoundError:
        return
    if stat.S_ISLNK(status.st_mode):
        raise NotOurs(file, "is a link, which is not followed")
    if status.st_uid != os.geteuid():
        raise NotOurs(file, "belongs to another user")
    if status.st_mode & private_files.OTHERS:
        file.chmod(stat.S_IMODE(status.st_mode) & ~private_files.OTHERS)
