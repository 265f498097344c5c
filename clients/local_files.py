"""Opens untrusted files: regular files only, without blocking, each failure with a refusal code."""

from __future__ import annotations

import errno
import functools
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Self

from clients.beneath import O_PATH, open_beneath
from core.errors import ImageRefused, RefusalCode
from core.images.formats import stands_for

# O_NONBLOCK: opening a named pipe must not wait for the other end
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)

SAMPLED_AT_ONCE = 64
"""Files to read ahead together: a disk serves many reads at once, so one after the other is slower.
Threads take twice as long as reading ahead: they pass Python's lock on at every system call."""

BELOW = "//"
"""In a root: what is before it is opened first, and the rest beneath that."""


@dataclass(frozen=True, slots=True)
class Place:
    """A file, and how it may be opened.

    ``root``: a folder that the file must be in, also by way of links; it is opened first, and the
    file beneath its descriptor. ``/inputs//receipts`` is the folder ``/inputs/receipts``, which is
    itself opened beneath ``/inputs``. ``private``: folders whose files are never opened.
    """

    path: str
    root: str | None = None
    private: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


AnyPlace = Place | Path | str
"""A path alone is opened as it is: nothing is checked."""


class OwnFolder(OSError):
    """The file is in a private folder."""


class Folders:
    """Descriptors of roots, so that many files of one root open it once."""

    def __init__(self) -> None:
        self._held: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for descriptor in self._held.values():
            os.close(descriptor)
        self._held.clear()

    def descriptor(self, root: str) -> int:
        """The descriptor of a root, which may have several parts. Raises OSError."""
        if root not in self._held:
            above, separator, inner = root.rpartition(BELOW)
            flags = O_PATH | os.O_DIRECTORY
            if separator:
                above = above or "/"
                self._held[root] = _beneath(self.descriptor(above), plain(above), inner, flags)
            else:
                self._held[root] = os.open(root, flags)
        return self._held[root]

    def open(self, place: Place, flags: int) -> int:
        """A descriptor of the file. Raises OSError: EXDEV if it leaves its root, OwnFolder; and
        ValueError for a name that no file can have."""
        if place.root is None:
            descriptor = os.open(place.path, flags)
        else:
            root = plain(place.root)
            inner = inside(place.path, root)
            if inner is None:
                raise _leaves(place.path)
            descriptor = _beneath(self.descriptor(place.root), root, inner, flags)
        if place.private and is_private(_real_path(descriptor, place.path), place.private):
            os.close(descriptor)
            raise OwnFolder(errno.EXDEV, "it is in a folder of Overstory's own", place.path)
        return descriptor

    def status(self, place: Place) -> os.stat_result:
        """Size, time and kind of a file, after all links. Raises like ``open``."""
        descriptor = self.open(place, O_PATH)
        try:
            return os.fstat(descriptor)
        finally:
            os.close(descriptor)

    def exists(self, place: Place) -> bool:
        """Whether there is such an entry; also true for a broken link."""
        above, _, name = place.path.rpartition("/")
        try:
            folder = self.open(Place(above or "/", place.root), O_PATH | os.O_DIRECTORY)
        except (OSError, ValueError):
            return False
        try:
            os.stat(name, dir_fd=folder, follow_symlinks=False)
        except (OSError, ValueError):
            return False
        else:
            return True
        finally:
            os.close(folder)


def plain(root: str) -> str:
    """The path of a root."""
    return root.replace(BELOW, "/") if root != BELOW else "/"


def inside(path: str, folder: str) -> str | None:
    """The part of ``path`` that is below ``folder``: empty for the folder itself, None if it is not
    below. Both are absolute."""
    if path == folder:
        return ""
    above = folder.rstrip("/") + "/"
    return path[len(above) :] if path.startswith(above) else None


def is_private(real: str, private: tuple[str, ...]) -> bool:
    """Whether a file is in one of the folders ``private``; ``real``: its path without links."""
    return any(inside(real, folder) is not None for folder in _without_links(private))


@functools.lru_cache(8)
def _without_links(folders: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(os.path.realpath(folder) for folder in folders)


def _beneath(folder: int, path: str, inner: str, flags: int) -> int:
    """Open ``inner`` beneath a folder, whose path is ``path``.

    A link that is absolute may still stay inside. Its target is looked up, and then opened beneath
    the same descriptor: if somebody changes it meanwhile, the open fails.
    """
    try:
        return open_beneath(folder, inner, flags)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
    target = inside(os.path.realpath(os.path.join(path, inner)), os.path.realpath(path))  # noqa: PTH118 - text
    if target is None:
        raise _leaves(inner)
    return open_beneath(folder, target, flags)


def _leaves(path: str) -> OSError:
    return OSError(errno.EXDEV, "it leaves the folder", path)


def _real_path(descriptor: int, path: str) -> str:
    """The path of an open file, without links. The kernel knows it on Linux."""
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115 - a descriptor's link
    except OSError:
        return os.path.realpath(path)


@contextmanager
def opened(path: AnyPlace, max_bytes: int | None = None) -> Iterator[tuple[BufferedReader, int]]:
    """The open file, at its start, and its size in bytes.

    Raises ImageRefused: MISSING, UNREADABLE, OUTSIDE_FOLDER, EMPTY, TOO_LARGE_FILE.
    """
    descriptor = _descriptor(path)
    try:
        size = _size(descriptor, max_bytes)
    except BaseException:
        os.close(descriptor)
        raise
    with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor, opened with flags
        yield file, size


def read_ahead(path: AnyPlace) -> bool:
    """Ask the system to start reading a file that is needed soon. Returns whether it has to read:
    False if the file is in the page cache, or if that is unknown. Errors are left to the real
    read."""
    if not hasattr(os, "posix_fadvise"):
        return False
    with suppress(OSError, ImageRefused), _descriptor_of(path) as descriptor:
        cached = _is_cached(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_WILLNEED)
        return not cached
    return False


def let_go(path: AnyPlace) -> None:
    """Drop a file that is not needed again from the page cache.

    Thousands of images that are read once would evict everything else from the cache. They would
    also grow a virtual machine (Docker Desktop, WSL, a cloud's) by their whole size. There the host
    provides each page on first use, which takes 1 to 8 ms for a photo of 1.5 MB.
    """
    with suppress(OSError, ImageRefused), _descriptor_of(path) as descriptor:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def _is_cached(descriptor: int) -> bool:
    """Whether the page cache holds one byte, at an offset that ``samples`` does not read. True if
    the system or the file system cannot tell."""
    if not hasattr(os, "RWF_NOWAIT"):
        return True
    offset = os.fstat(descriptor).st_size * 5 // 8
    try:
        os.preadv(descriptor, [bytearray(1)], offset, os.RWF_NOWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def samples(
    wanted: Sequence[tuple[AnyPlace, Sequence[int]]], length: int
) -> Iterator[list[bytes] | None]:
    """For each (file, offsets) in ``wanted``: up to ``length`` bytes at each offset, in order.
    None for a file that is not regular or cannot be read."""
    for first in range(0, len(wanted), SAMPLED_AT_ONCE):
        yield from _samples(wanted[first : first + SAMPLED_AT_ONCE], length)


def _samples(
    wanted: Sequence[tuple[AnyPlace, Sequence[int]]], length: int
) -> Iterator[list[bytes] | None]:
    """Starts reading all files ahead, then reads them."""
    descriptors: list[int | None] = []
    try:
        with Folders() as folders:
            for path, offsets in wanted:
                descriptors.append(_reading_ahead(path, offsets, length, folders))
        for descriptor, (_, offsets) in zip(descriptors, wanted, strict=True):
            yield None if descriptor is None else _read(descriptor, offsets, length)
    finally:
        for descriptor in descriptors:
            if descriptor is not None:
                os.close(descriptor)


def _reading_ahead(
    path: AnyPlace, offsets: Sequence[int], length: int, folders: Folders
) -> int | None:
    """The descriptor of a file that the system reads ahead. None if it cannot be opened."""
    try:
        descriptor = _descriptor(path, folders)
    except ImageRefused:
        return None
    if hasattr(os, "posix_fadvise"):
        with suppress(OSError):  # not a regular file: the read will report it
            for offset in offsets:
                os.posix_fadvise(descriptor, offset, length, os.POSIX_FADV_WILLNEED)
    return descriptor


def _read(descriptor: int, offsets: Sequence[int], length: int) -> list[bytes] | None:
    try:
        _size(descriptor)
        return [os.pread(descriptor, length, offset) for offset in offsets]
    except (ImageRefused, OSError):
        return None


def _size(descriptor: int, max_bytes: int | None = None) -> int:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise ImageRefused(RefusalCode.UNREADABLE, "it is not a regular file")
    if status.st_size == 0:
        reason = "the file is empty: if a cloud service keeps it, download it first"
        raise ImageRefused(RefusalCode.EMPTY, reason)
    if max_bytes is not None and status.st_size > max_bytes:
        raise ImageRefused(
            RefusalCode.TOO_LARGE_FILE,
            f"the file has {status.st_size} bytes, more than the {max_bytes} allowed"
            " (OVERSTORY_MAX_FILE_BYTES)",
        )
    return status.st_size


@contextmanager
def _descriptor_of(path: AnyPlace) -> Iterator[int]:
    """The file's descriptor, closed afterwards. Raises ImageRefused like ``opened``."""
    descriptor = _descriptor(path)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _descriptor(path: AnyPlace, folders: Folders | None = None) -> int:
    place = path if isinstance(path, Place) else Place(os.fspath(path))
    if stands_for(place.name) is not None:
        raise ImageRefused(
            RefusalCode.NOT_DOWNLOADED,
            "a cloud service keeps it, and only a placeholder is on this disk: download it (in"
            " Finder: Download Now) and run the same command again",
        )
    try:
        if folders is not None:
            return folders.open(place, _FLAGS)
        with Folders() as own:
            return own.open(place, _FLAGS)
    except (OSError, ValueError) as error:
        raise refusal_of(error) from None


def refusal_of(error: OSError | ValueError) -> ImageRefused:
    """Why a file that could not be opened is refused."""
    if isinstance(error, (FileNotFoundError, NotADirectoryError, ValueError)):
        return ImageRefused(RefusalCode.MISSING, "there is no such file")
    if isinstance(error, OwnFolder):
        reason = "it is in Overstory's own state folder or blob folder"
        return ImageRefused(RefusalCode.OUTSIDE_FOLDER, reason)
    if error.errno == errno.EXDEV:
        reason = "it is a link that leaves the input folder"
        return ImageRefused(RefusalCode.OUTSIDE_FOLDER, reason)
    reason = f"the file cannot be opened ({error.strerror})"
    return ImageRefused(RefusalCode.UNREADABLE, reason)
