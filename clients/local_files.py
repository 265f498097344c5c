"""Opens untrusted files: regular files only, without blocking, each failure with a refusal code."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path

from core.errors import ImageRefused, RefusalCode

# O_NONBLOCK: opening a named pipe must not wait for the other end
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)

SAMPLED_AT_ONCE = 64
"""Files to read ahead together: a disk serves many reads at once, so one after the other is slower.
Threads take twice as long as reading ahead: they pass Python's lock on at every system call."""


@contextmanager
def opened(path: Path, max_bytes: int | None = None) -> Iterator[tuple[BufferedReader, int]]:
    """The open file, at its start, and its size in bytes.

    Raises ImageRefused: MISSING, UNREADABLE, EMPTY, TOO_LARGE_FILE.
    """
    descriptor = _descriptor(path)
    try:
        size = _size(descriptor, max_bytes)
    except BaseException:
        os.close(descriptor)
        raise
    with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor, opened with flags
        yield file, size


def read_ahead(path: Path) -> bool:
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


def let_go(path: Path) -> None:
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
    wanted: Sequence[tuple[str | Path, Sequence[int]]], length: int
) -> Iterator[list[bytes] | None]:
    """For each (file, offsets) in ``wanted``: up to ``length`` bytes at each offset, in order.
    None for a file that is not regular or cannot be read."""
    for first in range(0, len(wanted), SAMPLED_AT_ONCE):
        yield from _samples(wanted[first : first + SAMPLED_AT_ONCE], length)


def _samples(
    wanted: Sequence[tuple[str | Path, Sequence[int]]], length: int
) -> Iterator[list[bytes] | None]:
    """Starts reading all files ahead, then reads them."""
    descriptors: list[int | None] = []
    try:
        for path, offsets in wanted:
            descriptors.append(_reading_ahead(path, offsets, length))
        for descriptor, (_, offsets) in zip(descriptors, wanted, strict=True):
            yield None if descriptor is None else _read(descriptor, offsets, length)
    finally:
        for descriptor in descriptors:
            if descriptor is not None:
                os.close(descriptor)


def _reading_ahead(path: str | Path, offsets: Sequence[int], length: int) -> int | None:
    """The descriptor of a file that the system reads ahead. None if it cannot be opened."""
    try:
        descriptor = _descriptor(path)
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
        raise ImageRefused(RefusalCode.EMPTY, "the file is empty")
    if max_bytes is not None and status.st_size > max_bytes:
        raise ImageRefused(
            RefusalCode.TOO_LARGE_FILE,
            f"the file has {status.st_size} bytes, more than the {max_bytes} allowed"
            " (OVERSTORY_MAX_FILE_BYTES)",
        )
    return status.st_size


@contextmanager
def _descriptor_of(path: Path) -> Iterator[int]:
    """The file's descriptor, closed afterwards. Raises ImageRefused: MISSING, UNREADABLE."""
    descriptor = _descriptor(path)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _descriptor(path: str | Path) -> int:
    try:
        return os.open(path, _FLAGS)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        raise ImageRefused(RefusalCode.MISSING, "there is no such file") from None
    except OSError as error:
        reason = f"the file cannot be opened ({error.strerror})"
        raise ImageRefused(RefusalCode.UNREADABLE, reason) from None
