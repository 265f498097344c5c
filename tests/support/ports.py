"""Ports that stay free until our server listens on them.

A server gets its port before it starts, and needs seconds until it listens. Meanwhile the system
may give any port of its ephemeral range to an outgoing connection, so our ports lie below that
range. A process locks its ports as long as it lives, so parallel runs never share one.
"""

from __future__ import annotations

import fcntl
import functools
import os
import socket
import tempfile
from itertools import count
from pathlib import Path

from clients.private_files import opened

FIRST, LAST = 15_000, 30_000
"""Below the ephemeral ranges of Linux (from 32768) and macOS (from 49152)."""
candidates = count(os.getpid() * 100)  # parallel runs start their search at different ports


def free_port() -> int:
    """A port of 127.0.0.1 that is not in use, reserved while this process lives.

    Raises OSError when every port is taken.
    """
    for _ in range(FIRST, LAST):
        port = FIRST + next(candidates) % (LAST - FIRST)
        if _is_ours(port) and _is_free(port):
            return port
    raise OSError(f"no port from {FIRST} to {LAST} is free")


@functools.cache
def _locks() -> int:
    """A lock file with one byte for each port; the locks end with the process."""
    path = Path(tempfile.gettempdir()) / f"overstory-ports-{os.getuid()}"
    return opened(path, os.O_RDWR | os.O_CREAT)  # only if it is ours: its name can be computed


def _is_ours(port: int) -> bool:
    try:
        fcntl.lockf(_locks(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
