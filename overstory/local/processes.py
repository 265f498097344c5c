"""Processes that may outlive who started them: recorded before they run, known by their words.

A process id alone says little: by the time it is read from a file it may be a stranger's. So a
process is signalled only where its command line names what was started.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

HELD = 'read -r go && exec "$@" </dev/null'
"""A shell that becomes the program when told to, and ends where nobody can tell it any more."""
END_SECONDS = 5.0


def recorded(
    words: list[str],
    record: Callable[[int], None],
    stdout: IO[bytes] | int,
    stderr: IO[bytes],
) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own, once ``record`` has kept its process id: whenever
    this process is killed, what it started is on record or ends by itself."""
    process = subprocess.Popen(
        ["/bin/sh", "-c", HELD, "sh", *words],
        start_new_session=True,
        stdin=subprocess.PIPE,
        stdout=stdout,
        stderr=stderr,
    )
    assert process.stdin is not None
    try:
        record(process.pid)
        with contextlib.suppress(BrokenPipeError):  # it was killed meanwhile
            os.write(process.stdin.fileno(), b"go\n")
    except BaseException:
        process.stdin.close()
        process.wait()
        raise
    process.stdin.close()
    return process


def lives(pid: int | None, *marks: str) -> bool:
    """Whether ``pid`` runs, and one of ``marks`` stands in its command line: it is no later process
    of that id."""
    if not pid:
        return False
    words = _words(pid)
    return any(os.fsencode(mark) in words for mark in marks)


def end(pid: int | None, *marks: str) -> bool:
    """End a process that may not be our child, politely first; whether there was one to end."""
    if pid is None or not lives(pid, *marks):
        return False
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, sign)
        deadline = time.monotonic() + END_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
            if not lives(pid, *marks):
                return True
            time.sleep(0.01)
    return True


def _words(pid: int) -> bytes:
    """Its command line, words apart by spaces; nothing where it has ended."""
    if Path("/proc/self").exists():
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
        except OSError:
            return b""
    told = subprocess.run(  # macOS
        ["/bin/ps", "-ww", "-o", "command=", "-p", str(pid)], capture_output=True, check=False
    )
    return told.stdout
