"""Writes small files beside a person's pictures, and never over what is not ours.

A file is ours while its bytes are what we once wrote under its name: a list of hashes in the state
folder knows. So a text that a person or another program has written, or changed since, is left as
it is, also if the folder was moved or the list was lost.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Iterator
from enum import StrEnum
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Self

from clients import private_files
from clients.local_files import Folders, Place
from core.images.formats import IMAGE_ENDINGS, SNIFF_BYTES, sniff

READ_BYTES_MAX = 16_000_000
"""A file beside a picture that is larger is not ours."""
KEPT = "_original"
"""What exiftool adds to the name of a file that it replaces."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
"""What file systems without hard links say, such as those of memory cards."""


class Outcome(StrEnum):
    """What became of one file."""

    WRITTEN = "written"
    UNCHANGED = "unchanged"  # it was there with the same bytes
    LEFT = "left"  # it is not ours, or was changed since
    GONE = "gone"  # the picture is not there any more


class SidecarFiles:
    """Writes files into folders; ``record``: the list of what was written. Use it as a context
    manager. Raises OSError for a folder that cannot be opened or written."""

    def __init__(self, record: Path) -> None:
        self._record_path = record
        self._last: tuple[Place, int] | None = None

    def __enter__(self) -> Self:
        self._record = private_files.log_file(self._record_path)
        return self

    def __exit__(self, *_: object) -> None:
        self._close_folder()
        self._record.close()

    def write(
        self, folder: Place, name: str, data: bytes, original: str | None, overwrite: bool
    ) -> Outcome:
        """Write ``data`` as ``name``. ``original``: the picture that must be there. ``overwrite``:
        replace a stranger's file too, and keep it under another name."""
        within = self._folder(folder)
        if original is not None and not _exists(original, within):
            return Outcome.GONE
        there = _exists(name, within)
        before = _bytes_of(name, within) if there else None
        if before == data:
            self._note(name, data)
            return Outcome.UNCHANGED
        if there and not (before is not None and self._is_ours(name, before)):
            if not overwrite or _is_not_to_be_replaced(name, within, before):
                return Outcome.LEFT
            _set_aside(name, within)
            there = False
        self._note(name, data)
        with _partial(name, within, data) as partial:
            if there:
                os.replace(partial, name, src_dir_fd=within, dst_dir_fd=within)
            elif not _appear(partial, name, within):
                return Outcome.LEFT
        return Outcome.WRITTEN

    def _folder(self, place: Place) -> int:
        if self._last is None or self._last[0] != place:
            self._close_folder()
            with Folders() as folders:
                self._last = place, folders.open(place, _FOLDER)
        return self._last[1]

    def _close_folder(self) -> None:
        if self._last is not None:
            os.close(self._last[1])
            self._last = None

    @cached_property
    def _ours(self) -> set[bytes]:
        return set(self._record_path.read_bytes().splitlines())

    def _is_ours(self, name: str, data: bytes) -> bool:
        return _hash(name, data) in self._ours

    def _note(self, name: str, data: bytes) -> None:
        """Before the file is there, so that a kill between them leaves no file that is not ours."""
        digest = _hash(name, data)
        if digest not in self._ours:
            self._ours.add(digest)
            self._record.write(digest + b"\n")
            self._record.flush()


def pictures_in(place: Place) -> list[str]:
    """Names in a folder that end like a picture's; empty if it cannot be read."""
    try:
        with Folders() as folders:
            descriptor = folders.open(place, _FOLDER)
        try:
            names = os.listdir(descriptor)  # noqa: PTH208 - a descriptor
        finally:
            os.close(descriptor)
    except OSError:
        return []
    return [name for name in names if os.path.splitext(name)[1].lower() in IMAGE_ENDINGS]  # noqa: PTH122


def may_write(place: Place) -> str | None:
    """Why nothing can be written into a folder; None if that is not known."""
    try:
        with Folders() as folders:
            descriptor = folders.open(place, _FOLDER)
    except OSError as error:
        return error.strerror
    try:
        if os.fstatvfs(descriptor).f_flag & os.ST_RDONLY:
            return os.strerror(errno.EROFS)
        if not os.access(".", os.W_OK | os.X_OK, dir_fd=descriptor, effective_ids=True):
            return os.strerror(errno.EACCES)
    finally:
        os.close(descriptor)
    return None


def make_folder(path: Path) -> None:
    """Create a folder that a person asked for, and those above it, with the rights of their umask.
    Raises OSError."""
    with private_files.persons_rights():
        path.mkdir(parents=True, exist_ok=True)


def _hash(name: str, data: bytes) -> bytes:
    text = os.fsencode(name) + b"\0" + data
    return hashlib.sha256(text).hexdigest()[:32].encode()


def _exists(name: str, within: int) -> bool:
    try:
        os.stat(name, dir_fd=within, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _bytes_of(name: str, within: int) -> bytes | None:
    """What is in a file; None for a link, for what is not a file, and for a very large one."""
    try:
        descriptor = os.open(name, _READ, dir_fd=within)
    except OSError:
        return None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > READ_BYTES_MAX:
            return None
        with open(descriptor, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)


def _is_not_to_be_replaced(name: str, within: int, data: bytes | None) -> bool:
    """A picture, or a folder or device; a link and a text may be replaced."""
    if data is not None:
        return sniff(data[:SNIFF_BYTES]) is not None
    return not stat.S_ISLNK(os.stat(name, dir_fd=within, follow_symlinks=False).st_mode)


def _set_aside(name: str, within: int) -> None:
    """Rename a stranger's file to the first free name like ``photo.xmp_original``."""
    names = (f"{name}{KEPT}{number if number > 1 else ''}" for number in count(1))
    free = next(kept for kept in names if not _exists(kept, within))
    os.rename(name, free, src_dir_fd=within, dst_dir_fd=within)


@contextlib.contextmanager
def _partial(name: str, within: int, data: bytes) -> Iterator[str]:
    """A file of a name that nobody can guess, with the rights of the person's umask."""
    partial = f".{name[:100]}.{secrets.token_hex(6)}.part"
    try:
        with os.fdopen(os.open(partial, _CREATE, 0o600, dir_fd=within), "wb") as file:
            file.write(data)
            os.fchmod(file.fileno(), 0o666 & ~private_files.persons_umask())
        yield partial
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(partial, dir_fd=within)


def _appear(partial: str, name: str, within: int) -> bool:
    """Give a new file its name. False if another program has written one meanwhile: a rename would
    replace it, and a link does not."""
    try:
        os.link(partial, name, src_dir_fd=within, dst_dir_fd=within)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        os.rename(partial, name, src_dir_fd=within, dst_dir_fd=within)
    return True
