"""Processes that a supervising command started end when it is gone, however it went."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

PARENT_VARIABLE = "OVERSTORY_PARENT_PID"
CHECK_SECONDS = 1.0
IDLE_SECONDS = 10.0
"""Who was asked to end, and has had nothing to do for so long, waits for what is gone as well."""


def end_with_parent(busy: Callable[[], bool] = lambda: False) -> None:
    """Where the environment names a parent, watch it from a thread and end with it: asked to at
    first, by force once ``busy`` has been False for IDLE_SECONDS."""
    parent = os.environ.get(PARENT_VARIABLE)
    if parent is not None:
        watching = (int(parent), busy)
        threading.Thread(target=_watch, args=watching, name="parent", daemon=True).start()


def _watch(parent: int, busy: Callable[[], bool]) -> None:
    while os.getppid() == parent:
        time.sleep(CHECK_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
    idle = 0.0
    while idle < IDLE_SECONDS:
        time.sleep(CHECK_SECONDS)
        idle = 0.0 if busy() else idle + CHECK_SECONDS
    # Celery looks at no signal while it connects to its broker, which it does for ever
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)  # a pool's children, too
    os._exit(1)
