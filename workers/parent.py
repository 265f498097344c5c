"""A process ends when the command that started it has ended for any reason."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

PARENT_VARIABLE = "OVERSTORY_PARENT_PID"
CHECK_SECONDS = 1.0
IDLE_SECONDS = 10.0
"""After SIGTERM, a process without work for this long is stuck on a service that has ended too."""


def end_with_parent(busy: Callable[[], bool] = lambda: False) -> None:
    """If the environment names a parent process, watch it in a thread. When it has ended, send
    SIGTERM to ourselves, and kill ourselves once ``busy`` was False for IDLE_SECONDS."""
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
    # Celery handles no signal while it connects to its broker, which it retries without limit
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)  # a pool's children, too
    os._exit(1)
