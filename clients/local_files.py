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

SAMPLED_AT_ONCE = 64
"""A disk answers many reads at once, and who waits for one after the other waits longest. Threads
take twice as long as asking ahead: they hand Python's lock to each other at every system call."""


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


def read_ahead(path: Path) -> bool:
    """Let the system begin to read a file that is wanted soon; whether it had to: False where it
    holds the file in memory, or cannot tell. What keeps it from reading is told when the file is
    read."""
    if not hasattr(os, "posix_fadvise"):
        return False
    with suppress(OSError, ImageRefused), _at_hand(path) as descriptor:
        held = _is_held(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_WILLNEED)
        return not held
    return False


def let_go(path: Path) -> None:
    """Let the system forget what it holds of a file that is not wanted again.

    Thousands of pictures read once would push everything else out of its memory, and make a
    virtual machine (Docker Desktop, WSL, a cloud's) grow by all of them: there each first touch of
    memory is given by the host, 1 to 8 ms for a photograph of 1.5 MB.
    """
    with suppress(OSError, ImageRefused), _at_hand(path) as descriptor:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def _is_held(descriptor: int) -> bool:
    """Whether a byte that no sample is taken from can be had without the disk. True where the
    system or the file system cannot tell."""
    if not hasattr(os, "RWF_NOWAIT"):
        return True
    place = os.fstat(descriptor).st_size * 5 // 8
    try:
        os.preadv(descriptor, [bytearray(1)], place, os.RWF_NOWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def samples(
    wanted: Sequence[tuple[str | Path, Sequence[int]]], length: int
) -> Iterator[list[bytes] | None]:
    """At most ``length`` bytes of regular files, at each of the places named beside them, in order;
    None for a file that cannot be read."""
    for first in range(0, len(wanted), SAMPLED_AT_ONCE):
        yield from _samples(wanted[first : first + SAMPLED_AT_ONCE], length)


def _samples(
    wanted: Sequence[tuple[str | Path, Sequence[int]]], length: int
) -> Iterator[list[bytes] | None]:
    """All are asked for before the first is read."""
    asked: list[int | None] = []
    try:
        for path, places in wanted:
            asked.append(_asked_for(path, places, length))
        for descriptor, (_, places) in zip(asked, wanted, strict=True):
            yield None if descriptor is None else _read(descriptor, places, length)
    finally:
        for descriptor in asked:
            if descriptor is not None:
                os.close(descriptor)


def _asked_for(path: str | Path, places: Sequence[int], length: int) -> int | None:
    """The descriptor of a file that the system has begun to read; None where there is none."""
    try:
        descriptor = _descriptor(path)
    except ImageRefused:
        return None
    if hasattr(os, "posix_fadvise"):
        with suppress(OSError):  # no regular file: whoever reads it finds out
            for place in places:
                os.posix_fadvise(descriptor, place, length, os.POSIX_FADV_WILLNEED)
    return descriptor


def _read(descriptor: int, places: Sequence[int], length: int) -> list[bytes] | None:
    try:
        _size(descriptor)
        return [os.pread(descriptor, length, place) for place in places]
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
def _at_hand(path: Path) -> Iterator[int]:
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
        raise ImageRefused(RefusalCode.MISSING, "there is no such file (any more)") from None
    except OSError as error:
        reason = f"the file cannot be opened ({error.strerror})"
        raise ImageRefused(RefusalCode.UNREADABLE, reason) from None
