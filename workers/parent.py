"""Processes that a supervising command started end when it is gone, however it went."""

from __future__ import annotations

import os
import signal
import threading
import time

PARENT_VARIABLE = "OVERSTORY_PARENT_PID"
CHECK_SECONDS = 1.0


def end_with_parent() -> None:
    """Where the environment names a parent, watch it from a thread and end with it."""
    parent = os.environ.get(PARENT_VARIABLE)
    if parent is not None:
        threading.Thread(target=_watch, args=(int(parent),), name="parent", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(CHECK_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
