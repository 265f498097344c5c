"""Files and folders for their owner alone: created so, and used only if they are so.

Another user of the machine may have put a link, a pipe or a folder of his own where we write. So a
link in the last part of a path is never followed, and a file of somebody else is never used.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from core.errors import ServiceAway

UMASK = 0o077
"""Of every process of ours: what it creates is for its owner."""
OTHERS = 0o077
"""The rights that a private file or folder gives to nobody."""
WRITERS = 0o022
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
"""O_NONBLOCK: opening a planted pipe must not wait for its other end."""
_before: list[int] = []


class NotOurs(ServiceAway, OSError):
    """A link, a file of another user, or one that is open to others: it is not used."""

    def __init__(self, path: str | Path, reason: str) -> None:
        super().__init__(path, reason)
        self.errno, self.strerror = errno.EPERM, f"{path} {reason}"

    def __str__(self) -> str:
        return str(self.strerror)


@contextlib.contextmanager
def private_umask() -> Iterator[None]:
    """Set our umask for the block, and in the processes that it starts."""
    _before.append(os.umask(UMASK))
    try:
        yield
    finally:
        os.umask(_before.pop())


def persons_umask() -> int:
    """The umask with which the command was started."""
    if _before:
        return _before[0]
    now = os.umask(UMASK)
    os.umask(now)
    return now


@contextlib.contextmanager
def persons_rights() -> Iterator[None]:
    """Set the person's umask for the block. No other thread may create files meanwhile."""
    ours = os.umask(persons_umask())
    try:
        yield
    finally:
        os.umask(ours)


@contextlib.contextmanager
def for_the_person(path: Path) -> Iterator[IO[bytes]]:
    """Write a file that a person asked for, with the rights of their umask. It replaces ``path``
    when the block ends; if the block raises, ``path`` is as before."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(6)}.part")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FILE
    try:
        with os.fdopen(os.open(partial, flags, 0o600), "wb") as file:
            yield file
            os.fchmod(file.fileno(), 0o666 & ~persons_umask())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def private_folder(path: Path) -> None:
    """Create the folder with mode 0700. If it exists and is ours, take the rights of others away.

    Raises NotOurs for a link or a folder of another user.
    """
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
    with folder(path) as descriptor:
        status = os.fstat(descriptor)
        if status.st_uid != os.geteuid():
            raise NotOurs(path, "belongs to another user")
        take_rights(descriptor, status)


def take_rights(descriptor: int, status: os.stat_result) -> None:
    """Leave the rights of a file or folder to its owner."""
    if status.st_mode & OTHERS:
        with contextlib.suppress(PermissionError):  # a file system without modes
            os.fchmod(descriptor, stat.S_IMODE(status.st_mode) & ~OTHERS)


@contextlib.contextmanager
def folder(path: Path) -> Iterator[int]:
    """The descriptor of a folder that is not a link. Raises NotOurs if it is one."""
    try:
        descriptor = os.open(path, _FOLDER)
    except OSError:
        if path.is_symlink():
            raise NotOurs(path, "is a link, which is not followed") from None
        raise
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def refuse_links(path: Path) -> None:
    """Raises NotOurs if there is a link in this folder."""
    with os.scandir(path) as entries:
        for entry in entries:
            if entry.is_symlink():
                raise NotOurs(entry.path, "is a link, which is not followed")


def opened(path: Path, flags: int, within: int | None = None) -> int:
    """The descriptor of a file of ours, created with mode 0600. ``within``: the descriptor of its
    folder. Raises NotOurs for a link, for a pipe or device, and for a file of another user."""
    place = path if within is None else path.name
    try:
        descriptor = os.open(place, flags | _FILE, 0o600, dir_fd=within)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise NotOurs(path, "is a link, which is not followed") from None
        if error.errno == errno.ENXIO:
            raise NotOurs(path, "is not a file") from None
        raise
    status = os.fstat(descriptor)
    reason = None
    if not stat.S_ISREG(status.st_mode):
        reason = "is not a file"
    elif status.st_uid != os.geteuid():
        reason = "belongs to another user"
    if reason is not None:
        os.close(descriptor)
        raise NotOurs(path, reason)
    return descriptor


def lock_file(path: Path) -> IO[str]:
    """A file to lock; created if needed, never emptied."""
    return os.fdopen(opened(path, os.O_RDWR | os.O_CREAT), "r+", encoding="utf-8")


def log_file(path: Path) -> IO[bytes]:
    """A file to append to."""
    return os.fdopen(opened(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), "ab")


def write(path: Path, text: str, sync: bool = False) -> None:
    """Replace ``path`` by a private file: its readers see the old text or the new one. ``sync``:
    the text is on the disk before."""
    with folder(path.parent) as within:
        partial = f".{path.name}.{secrets.token_hex(6)}.part"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        try:
            descriptor = opened(path.with_name(partial), flags, within)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                if sync:
                    file.flush()
                    os.fsync(file.fileno())
            os.replace(partial, path.name, src_dir_fd=within, dst_dir_fd=within)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(partial, dir_fd=within)
            raise


def read(path: Path) -> str:
    """The text of a file that nobody else can have written or read: ours with 0600, in a folder of
    ours with 0700. Raises NotOurs otherwise."""
    with folder(path.parent) as within:
        _check_rights(path.parent, os.fstat(within))
        with os.fdopen(opened(path, os.O_RDONLY, within), encoding="utf-8") as file:
            _check_rights(path, os.fstat(file.fileno()))
            return file.read()


def check_socket(path: Path) -> None:
    """Raises NotOurs if another user may serve the socket: it is not ours, or its folder is not
    ours with mode 0700. A socket that does not exist is nobody's."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        with folder(path.parent) as within:
            _check_rights(path.parent, os.fstat(within))
            status = os.stat(path.name, dir_fd=within, follow_symlinks=False)
        if not stat.S_ISSOCK(status.st_mode):
            raise NotOurs(path, "is not a socket")
        if status.st_uid != os.geteuid():
            raise NotOurs(path, "belongs to another user")


def _check_rights(path: Path, status: os.stat_result) -> None:
    if status.st_uid != os.geteuid():
        raise NotOurs(path, "belongs to another user")
    if status.st_mode & OTHERS:
        mode = stat.S_IMODE(status.st_mode)
        raise NotOurs(path, f"is open to other users (mode {mode:04o})")
