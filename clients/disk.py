"""Opening files that strangers put there: regular files only, no waiting, every failure coded."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path

from core.errors import ImageRefused, RefusalCode

# O_NONBLOCK: opening a named pipe must not wait for its other end
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


@contextmanager
def opened(path: Path, max_bytes: int) -> Iterator[tuple[BufferedReader, int]]:
    """The file, at its start, and its size in bytes.

    Raises ImageRefused: MISSING, UNREADABLE, EMPTY, TOO_LARGE_FILE.
    """
    with unread(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size == 0:
            raise ImageRefused(RefusalCode.EMPTY, "the file is empty")
        if size > max_bytes:
            raise ImageRefused(
                RefusalCode.TOO_LARGE_FILE,
                f"the file has {size} bytes, more than the {max_bytes} allowed"
                " (OVERSTORY_MAX_FILE_BYTES)",
            )
        yield file, size


@contextmanager
def unread(path: Path) -> Iterator[BufferedReader]:
    """A regular file of any size, open. Raises ImageRefused: MISSING, UNREADABLE."""
    with _open(path) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ImageRefused(RefusalCode.UNREADABLE, "it is not a regular file")
        yield file


def read_ahead(path: Path) -> None:
    """Let the system begin to read a file that is wanted soon. What keeps it from that is told when
    the file is read."""
    if hasattr(os, "posix_fadvise"):
        with suppress(ImageRefused, OSError), unread(path) as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)


def _open(path: Path) -> BufferedReader:
    try:
        return open(os.open(path, _FLAGS), "rb")  # noqa: PTH123 - a descriptor, opened with flags
    except (FileNotFoundError, NotADirectoryError, ValueError):
        raise ImageRefused(RefusalCode.MISSING, "there is no such file (any more)") from None
    except OSError as error:
        reason = f"the file cannot be opened ({error.strerror})"
        raise ImageRefused(RefusalCode.UNREADABLE, reason) from None
