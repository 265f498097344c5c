"""Waiting for what other processes and threads do, which nothing announces."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import psutil


def eventually(
    look: Callable[[], Any],
    seconds: float = 60.0,
    pause: float = 0.02,
    tell: Callable[[], object] = lambda: "",
) -> Any:
    """What ``look`` returns once that is true; the deadline is a failure, of which ``tell`` says
    more. A longer ``pause`` costs less CPU, but might miss what does not last."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"still not so after {seconds} s {tell()}"
        time.sleep(pause)
    return found


def command_line(process: psutil.Process) -> list[str]:
    """A process's words; none if it has ended. A fork has those of its parent until its exec."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def lives(pid: int) -> bool:
    """Whether a process runs; one that ended but was not yet waited for does not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
