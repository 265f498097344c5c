"""Processes that may outlive the command that started them: recorded first, identified later.

A recorded process id may belong to another program by the time it is read. So a process is
signalled only if its command line contains what was started. psutil also compares its creation
time before each signal, in case the id is reused while we wait.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

HELD = 'read -r go && exec "$@" </dev/null'
"""A shell that waits for a line and then becomes the program. It ends if its stdin is closed."""
END_SECONDS = 5.0


def recorded(
    command: list[str],
    record: Callable[[int], None],
    stdout: IO[bytes] | int,
    stderr: IO[bytes],
) -> subprocess.Popen[bytes]:
    """Start a program in its own session, after ``record`` has stored its process id.

    If this process is killed at any moment, the program is on record or ends by itself.
    """
    process = subprocess.Popen(
        ["/bin/sh", "-c", HELD, "sh", *command],
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
    """Whether ``pid`` runs and its command line contains one of ``marks``."""
    return _process(pid, marks) is not None


def end(pid: int | None, *marks: str) -> bool:
    """End a process that need not be our child: SIGTERM, then SIGKILL after END_SECONDS.

    Returns False if there was no such process.
    """
    process = _process(pid, marks)
    if process is None:
        return False
    import psutil

    for send in (process.terminate, process.kill):
        with contextlib.suppress(psutil.NoSuchProcess):
            send()
        deadline = time.monotonic() + END_SECONDS
        while time.monotonic() < deadline:
            if _process(pid, marks) != process:  # psutil's own wait never sees the end of a zombie
                return True
            time.sleep(0.01)
    return True


def _process(pid: int | None, marks: tuple[str, ...]) -> psutil.Process | None:
    if not pid:
        return None
    import psutil  # loading it takes about 10 ms; most commands have no process to check

    try:
        process = psutil.Process(pid)
        command = " ".join(process.cmdline())
    except psutil.Error:  # it has ended, or belongs to another user
        return None
    return process if any(mark in command for mark in marks) else None
