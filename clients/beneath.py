"""Opens what is beneath a folder, by descriptor.

No link and no ``..`` leads out of the folder, also if somebody swaps a link between a check and the
open.

Linux has ``openat2`` for this (since 5.6). Elsewhere, or where a container forbids the call, the
path is walked folder by folder without following links.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import os
import stat
import sys

OPENAT2 = 437
"""The number of the system call, the same on all architectures that we know."""
RESOLVE_NO_MAGICLINKS, RESOLVE_BENEATH = 0x02, 0x08
O_PATH = getattr(os, "O_PATH", os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
"""For a descriptor that only names a file. Elsewhere than on Linux the file must be readable."""
RACED_TRIES = 32
"""``openat2`` asks to try again if something was renamed meanwhile."""


def open_beneath(folder: int, path: str, flags: int) -> int:
    """A descriptor of ``path``, which is relative to the descriptor ``folder``.

    Raises OSError; its errno is EXDEV if the path leaves the folder, and also for a link that has
    to be resolved first: an absolute one, and without ``openat2`` any.
    """
    flags |= os.O_CLOEXEC
    if has_openat2():
        return _openat2(folder, path or ".", flags)
    return _walk(folder, path, flags)


@functools.cache
def has_openat2() -> bool:
    """Whether the kernel has the call, and lets us use it."""
    if sys.platform != "linux":
        return False
    try:
        here = os.open("/", O_PATH | os.O_DIRECTORY)
        try:
            os.close(_openat2(here, ".", O_PATH | os.O_CLOEXEC))
        finally:
            os.close(here)
    except (OSError, AttributeError):
        return False
    return True


class _How(ctypes.Structure):
    """The kernel's ``struct open_how``."""

    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _openat2(folder: int, path: str, flags: int) -> int:
    name = os.fsencode(path)
    if b"\0" in name:
        raise ValueError("embedded null byte")
    how = _How(flags, 0, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS)
    number = 0
    for _ in range(RACED_TRIES):
        made = _libc().syscall(
            ctypes.c_long(OPENAT2),
            ctypes.c_int(folder),
            ctypes.c_char_p(name),
            ctypes.byref(how),
            ctypes.c_size_t(ctypes.sizeof(how)),
        )
        if made >= 0:
            return int(made)
        number = ctypes.get_errno()
        if number not in (errno.EAGAIN, errno.EINTR):
            break
    raise OSError(number, os.strerror(number), path)


def _walk(folder: int, path: str, flags: int) -> int:
    """Open one folder after the other, and never a link."""
    *above, last = path.split("/") if path not in ("", ".") else ["."]
    with contextlib.ExitStack() as held:
        current = folder
        for part in above:
            current = _step(current, part, os.O_RDONLY | os.O_DIRECTORY)
            held.callback(os.close, current)
        return _step(current, last, flags)


def _step(folder: int, part: str, flags: int) -> int:
    if part == "..":
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), part)
    try:
        made = os.open(part, flags | os.O_NOFOLLOW, dir_fd=folder)
    except OSError as error:
        link = error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EMLINK) and _is_link(folder, part)
        if link:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), part) from None
        raise
    if stat.S_ISLNK(os.fstat(made).st_mode):  # O_PATH opens the link itself
        os.close(made)
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), part)
    return made


def _is_link(folder: int, part: str) -> bool:
    try:
        return stat.S_ISLNK(os.stat(part, dir_fd=folder, follow_symlinks=False).st_mode)
    except OSError:
        return False
