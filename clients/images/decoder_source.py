"""The source of decoding processes: it loads the decoders once, and forks a process for each order.

Loading takes a quarter of a second of CPU, and a fork some milliseconds. The source is started anew
with an empty environment, so none of our keys is in its memory. A process and its forks share the
socket to one source. The source ends when the last of them closes it.

Nothing but the standard library is imported here: a command starts its source before all else.
"""

from __future__ import annotations

import atexit
import os
import socket
import struct
import subprocess
import sys
import threading

ORDER = struct.Struct("!Q")
"""An order is the bytes of memory that the process may have, and the socket to it."""
FORKS = sys.platform.startswith("linux")
"""A macOS process cannot fork safely once it has loaded system frameworks: there each source serves
its first order itself."""
TRIES = 2
"""A source may have been killed for want of memory on the machine."""
KEPT = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "TZ")
"""Variables that the source gets. None of them is a secret."""


class Source:
    """One source and the socket to it."""

    def __init__(self) -> None:
        self.socket, theirs = socket.socketpair()
        environment = {name: os.environ[name] for name in KEPT if name in os.environ}
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
        command = [sys.executable, "-P", "-m", "clients.images.decoder_child"]
        with theirs:
            self._process = subprocess.Popen(
                [*command, str(theirs.fileno())],
                env=environment,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,  # Ctrl-C is for the command
            )

    def order(self, memory_bytes: int) -> socket.socket:
        """The socket to a new process of ``memory_bytes``. Raises OSError if the source has
        ended."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                socket.send_fds(self.socket, [ORDER.pack(memory_bytes)], [theirs.fileno()])
            except OSError:
                ours.close()
                raise
        return ours

    def let_go(self) -> None:
        """Close the socket. Other processes may hold it, so the source need not have ended."""
        self.socket.close()
        self._process.poll()
        self._process.returncode = self._process.returncode or 0  # nobody waits for it


_source: Source | None = None
_lock = threading.Lock()


def begin() -> Source:
    """The source of this process, which it may have from the one that it was forked from; a new one
    if it has none. It loads in the background."""
    global _source  # noqa: PLW0603 - a process has one
    with _lock:
        if _source is None:
            _source = Source()
        return _source


def ordered(memory_bytes: int) -> socket.socket:
    """The socket to a new process. Raises OSError if none can be started."""
    tries = 0
    while True:
        source = begin()
        try:
            return source.order(memory_bytes)
        except OSError:
            tries += 1
            if tries == TRIES:
                raise
            forget(source)
        finally:
            if not FORKS:
                forget(source)


def forget(source: Source | None = None) -> None:
    """Let go of the source, if it is still ``source``: the next order starts a new one."""
    global _source  # noqa: PLW0603
    with _lock:
        if _source is not None and source in (None, _source):
            _source.let_go()
            _source = None


def descriptor() -> int | None:
    """Of the socket to the source, which a fork must keep open; None without one."""
    return None if _source is None else _source.socket.fileno()


atexit.register(forget)
