"""The crew as its command sees it: a process that forks workers (workers.crew), and its forks.

This module loads nothing of ours: a command starts its crew before it has read a setting.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from core.settings import Settings


class Process(Protocol):
    """What is asked of a worker's process; subprocess.Popen is one."""

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...

    def send_signal(self, sig: int) -> None: ...


class Fork:
    """A worker that the crew forked: not our child, so it is watched through a pidfd."""

    def __init__(self, pid: int) -> None:
        """Raises ProcessLookupError where it has ended already."""
        self.pid = pid
        self._handle = os.pidfd_open(pid)

    def poll(self) -> int | None:
        """None while it lives. How it ended only the crew knows."""
        return 0 if self._ended(0.0) else None

    def wait(self, timeout: float | None = None) -> int:
        """Raises subprocess.TimeoutExpired when it still lives after ``timeout`` seconds."""
        if not self._ended(timeout):
            raise subprocess.TimeoutExpired(f"worker {self.pid}", timeout or 0.0)
        return 0

    def send_signal(self, sig: int) -> None:
        signal.pidfd_send_signal(self._handle, sig)

    def _ended(self, timeout: float | None) -> bool:
        poller = select.poll()  # select() takes no descriptor above 1,023
        poller.register(self._handle, select.POLLIN)
        return bool(poller.poll(None if timeout is None else timeout * 1000))

    def __del__(self) -> None:
        with contextlib.suppress(OSError, AttributeError):
            os.close(self._handle)


class Crew:
    """Started at once and loading from then on; ``fork`` waits until it has loaded."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "workers.crew"],
            start_new_session=True,  # Ctrl-C is for the command
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # where it cannot start, workers are started alone and say
        )

    def fork(self, order: Mapping[str, Any]) -> Fork | None:
        """A worker by ``order`` (workers.crew has the fields); None where the crew is gone."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            self._process.stdin.flush()
            pid = int(self._process.stdout.readline())
            return Fork(pid)
        except (OSError, ValueError):
            return None

    def dismiss(self) -> None:
        """End it; what it forked and still lives ends by itself. Twice is harmless."""
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()
        self._process.kill()
        self._process.wait()


def early() -> Crew | None:
    """A crew for a command that may need one, before anything is known but the environment. On
    Linux: macOS does not bear a fork of what has loaded its frameworks; nor has it pidfds."""
    if os.environ.get("OVERSTORY_BROKER_URL") or not hasattr(os, "pidfd_open"):
        return None
    return Crew()


def begin(settings: Settings, crew: Crew | None = None) -> Crew | None:
    """A crew for a command with these settings, where the workers are its own: ``crew`` if it was
    started early. It is dismissed where nobody needs it."""
    if not _is_wanted(settings):
        if crew is not None:
            crew.dismiss()
        return None
    return crew or early()


def _is_wanted(settings: Settings) -> bool:
    from workers.stack import read_stack

    if settings.broker_url is not None or may_trace(settings):
        return False  # a fork ends at once, and its last spans would not be sent
    stack = read_stack(settings.home)
    return stack is None or stack.service_pid is None  # a service's workers work for us, too


def may_trace(settings: Settings) -> bool:
    """Whether workers may have spans to send when they end."""
    return bool(settings.traces) or any(n.startswith("OTEL_EXPORTER_OTLP") for n in os.environ)
