"""Opening files that strangers put there: regular files only, no waiting, every failure coded."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path

from core.errors import ImageRefused, RefusalCode

# O_NONBLOCK: opening a named pipe must not wait for its other end
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


@contextmanager
def opened(path: Path, max_bytes: int | None = None) -> Iterator[tuple[BufferedReader, int]]:
    """The file, at its start, and its size in bytes.

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


def read_ahead(path: Path) -> None:
    """Let the system begin to read a file that is wanted soon. What keeps it from that is told when
    the file is read."""
    if not hasattr(os, "posix_fadvise"):
        return
    with suppress(OSError, ValueError):
        descriptor = os.open(path, _FLAGS)
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_WILLNEED)
        finally:
            os.close(descriptor)


def samples(path: Path, places: Sequence[int], length: int) -> list[bytes]:
    """At most ``length`` bytes of a regular file at each of ``places``.

    Raises ImageRefused: MISSING, UNREADABLE, EMPTY.
    """
    descriptor = _descriptor(path)
    try:
        _size(descriptor)
        return [os.pread(descriptor, length, place) for place in places]
    except OSError as error:
        reason = f"the file cannot be read ({error.strerror})"
        raise ImageRefused(RefusalCode.UNREADABLE, reason) from None
    finally:
        os.close(descriptor)


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


def _descriptor(path: Path) -> int:
    try:
        return os.open(path, _FLAGS)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        raise ImageRefused(RefusalCode.MISSING, "there is no such file (any more)") from None
    except OSError as error:
        reason = f"the file cannot be opened ({error.strerror})"
        raise ImageRefused(RefusalCode.UNREADABLE, reason) from None
