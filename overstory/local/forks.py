"""The fork server as its command sees it: processes that fork workers, and their forks."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import IO, Any, Protocol

from core.settings import Settings
from workers import forkserver
from workers.endpoints import read_stack
from workers.loading import loaded


class Process(Protocol):
    """What is asked of a worker's process; subprocess.Popen is one."""

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...

    def send_signal(self, sig: int) -> None: ...


class Fork:
    """A worker that the fork server forked: not our child, so it is watched through a pidfd."""

    def __init__(self, pid: int) -> None:
        """Raises ProcessLookupError where it has ended already."""
        self.pid = pid
        self._handle = os.pidfd_open(pid)

    def poll(self) -> int | None:
        """None while it lives. How it ended only the fork server knows."""
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


@dataclass(frozen=True, slots=True)
class ForkServerProcess:
    """One fork server: where it takes orders and gives answers, and how to wait for it."""

    pid: int
    orders: IO[bytes]
    answers: IO[bytes]
    wait: Callable[[], object]

    def fork(self, order: Mapping[str, Any]) -> Fork | None:
        try:
            self.orders.write(json.dumps(order).encode() + b"\n")
            self.orders.flush()
            return Fork(int(self.answers.readline()))
        except (OSError, ValueError):
            return None

    def dismiss(self) -> None:
        if self.orders.closed:
            return  # it has been waited for, so its number may be another's by now
        for pipe in (self.orders, self.answers):
            with contextlib.suppress(OSError):
                pipe.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            self.wait()


class ForkServer:
    """Begun at once and loading from then on; ``fork`` waits until it has loaded."""

    def __init__(self, preparing: ForkServerProcess, calling: ForkServerProcess) -> None:
        """Who forks the workers that prepare images, and who those that speak to the provider."""
        self._preparing, self._calling = preparing, calling

    def fork(self, order: Mapping[str, Any]) -> Fork | None:
        """A worker by ``order`` (see workers.forkserver); None where the fork server is gone."""
        member = self._preparing if order.get("queues") == "preprocess" else self._calling
        return member.fork(order)

    def dismiss(self) -> None:
        """End it; what it forked and still lives ends by itself. Twice is harmless."""
        self._preparing.dismiss()
        self._calling.dismiss()


def split(settings: Settings) -> ForkServer | None:
    """Fork servers forked from this process, which must hold no connection and no other thread yet.
    What both need is loaded once; each goes on to load its own."""
    if threading.active_count() > 1:
        return begin(settings)  # a fork would find locked for ever what another thread holds
    if not _is_wanted(settings):
        return None
    loaded(*forkserver.SHARED)
    return ForkServer(_forked(provider=False), _forked(provider=True))


def _forked(provider: bool) -> ForkServerProcess:
    pid, orders, answers = forkserver.split(provider)
    wait = partial(os.waitpid, pid, 0)
    return ForkServerProcess(pid, os.fdopen(orders, "wb"), os.fdopen(answers, "rb"), wait)


def begin(settings: Settings) -> ForkServer | None:
    """A fork server started anew, for a command with these settings."""
    if not _is_wanted(settings):
        return None
    process = subprocess.Popen(
        [sys.executable, "-m", "workers.forkserver"],
        start_new_session=True,  # Ctrl-C is for the command
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # where it cannot start, workers are started alone and say
    )
    assert process.stdin is not None
    assert process.stdout is not None
    member = ForkServerProcess(process.pid, process.stdin, process.stdout, process.wait)
    return ForkServer(member, member)


def _is_wanted(settings: Settings) -> bool:
    """Whether the workers are the command's own. On Linux: macOS does not bear a fork of what has
    loaded its frameworks; nor has it pidfds."""
    if settings.broker_url is not None or not hasattr(os, "pidfd_open"):
        return False
    if may_trace(settings):
        return False  # a fork ends at once, and its last spans would not be sent
    stack = read_stack(settings.home)
    return stack is None or stack.service_pid is None  # a service's workers work for us, too


def may_trace(settings: Settings) -> bool:
    """Whether workers may have spans to send when they end."""
    return bool(settings.traces) or any(n.startswith("OTEL_EXPORTER_OTLP") for n in os.environ)
