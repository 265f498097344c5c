"""Processes that may outlive the command that started them: recorded first, identified later.

A recorded process id may belong to another program by the time it is read. So a process is
signalled only if it is ours, its command line contains what was started, and it started when the
record says. psutil also compares its creation time before each signal, in case the id is reused
while we wait.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

HELD = 'read -r go && exec "$@" </dev/null'
"""A shell that waits for a line and then becomes the program. It ends if its stdin is closed."""
END_SECONDS = 5.0
EXEC_SECONDS = 1.0
"""Far longer than the moment of an exec. A thread of the kernel never has a command line."""
START_FIELD = 19
"""In /proc/PID/stat, after the name: field 22 of proc_pid_stat(5)."""


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


def born(pid: int) -> int | None:
    """When ``pid`` started: on Linux in clock ticks since the boot, which no change of the clock
    moves, elsewhere in seconds. None if it has ended."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except FileNotFoundError:
        return None if Path("/proc/self/stat").exists() else _created(pid)
    except OSError:
        return None
    return int(text.rpartition(")")[2].split()[START_FIELD])


def _created(pid: int) -> int | None:
    import psutil

    try:
        return int(psutil.Process(pid).create_time())
    except psutil.Error:
        return None


def lives(pid: int | None, *marks: str, since: int | None = None) -> bool:
    """Whether ``pid`` runs, is ours and its command line contains one of ``marks``. ``since``: what
    ``born`` said of it; None if that is not on record."""
    return _process(pid, marks, since) is not None


def end(pid: int | None, *marks: str, since: int | None = None) -> bool:
    """End a process that need not be our child: SIGTERM, then SIGKILL after END_SECONDS.

    Returns False if there was no such process.
    """
    process = _process(pid, marks, since)
    if process is None:
        return False
    import psutil

    for send in (process.terminate, process.kill):
        with contextlib.suppress(psutil.NoSuchProcess):
            send()
        deadline = time.monotonic() + END_SECONDS
        while time.monotonic() < deadline:
            if (
                _process(pid, marks, since) != process
            ):  # psutil's own wait never sees the end of a zombie
                return True
            time.sleep(0.01)
    return True


def _process(
    pid: int | None, marks: tuple[str, ...], since: int | None = None
) -> psutil.Process | None:
    if not pid or (since is not None and born(pid) != since):
        return None
    import psutil  # loading it takes about 10 ms; most commands have no process to check

    try:
        process = psutil.Process(pid)
        if process.uids().effective != os.geteuid():
            return None  # anybody may write our words into the command line of his process
        command = _command_line(process)
    except psutil.Error:  # it has ended
        return None
    return process if any(mark in command for mark in marks) else None


def _command_line(process: psutil.Process) -> str:
    """Linux shows an empty command line while a process becomes another program: wait for it.

    Raises psutil.Error if the process has ended.
    """
    deadline = time.monotonic() + EXEC_SECONDS
    while not (words := process.cmdline()) and time.monotonic() < deadline:
        time.sleep(0.001)
    return " ".join(words)
