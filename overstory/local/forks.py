"""The command's side of the fork server: start it, order workers from it, watch them."""

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

from clients.images import decoder_source
from core.catalog.facts import shipped
from core.settings import Settings
from core.stages import PREPROCESS
from workers import forkserver
from workers.endpoints import read_stack
from workers.loading import loaded


class Process(Protocol):
    """The process of a worker: a ``Fork`` or a ``subprocess.Popen``."""

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...

    def send_signal(self, sig: int) -> None: ...


class Fork:
    """A worker from the fork server. It is not our child, so we watch it through a pidfd."""

    def __init__(self, pid: int) -> None:
        """Raises ProcessLookupError if it has ended already."""
        self.pid = pid
        self._handle = os.pidfd_open(pid)

    def poll(self) -> int | None:
        """None while it runs, then 0: only the fork server knows its exit status."""
        return 0 if self._ended(0.0) else None

    def wait(self, timeout: float | None = None) -> int:
        """Raises subprocess.TimeoutExpired if it still runs after ``timeout`` seconds."""
        if not self._ended(timeout):
            raise subprocess.TimeoutExpired(f"worker {self.pid}", timeout or 0.0)
        return 0

    def send_signal(self, sig: int) -> None:
        signal.pidfd_send_signal(self._handle, sig)

    def _ended(self, timeout: float | None) -> bool:
        poller = select.poll()  # select() fails above descriptor 1,023
        poller.register(self._handle, select.POLLIN)
        return bool(poller.poll(None if timeout is None else timeout * 1000))

    def __del__(self) -> None:
        with contextlib.suppress(OSError, AttributeError):
            os.close(self._handle)


@dataclass(frozen=True, slots=True)
class ForkServerProcess:
    """One fork server: the pipes for orders and answers, and how to wait for its end."""

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
            return  # it was waited for: another process may have its id now
        for pipe in (self.orders, self.answers):
            with contextlib.suppress(OSError):
                pipe.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            self.wait()


class ForkServer:
    """Fork servers load code in the background; ``fork`` waits until they have."""

    def __init__(self, preparing: ForkServerProcess, calling: ForkServerProcess) -> None:
        """``preparing`` forks the workers that prepare images, ``calling`` all others."""
        self._preparing, self._calling = preparing, calling

    def fork(self, order: Mapping[str, Any]) -> Fork | None:
        """Fork a worker for ``order`` (see workers.forkserver); None if the server has ended."""
        server = self._preparing if order.get("queues") == PREPROCESS.name else self._calling
        return server.fork(order)

    def dismiss(self) -> None:
        """End the servers; workers that still run end by themselves. Safe to call twice."""
        self._preparing.dismiss()
        self._calling.dismiss()


def split(settings: Settings, service: bool = False) -> ForkServer | None:
    """Fork two servers from this process, which must have no connection and no other thread yet.

    The code that both need is loaded once, before; each then loads the rest of its own.
    ``service``: this process is the service, which always has workers of its own.
    """
    if threading.active_count() > 1:
        return begin(settings, service)  # a lock of another thread would stay locked in the fork
    if not _is_wanted(settings, service):
        return None
    decoder_source.begin()  # it loads meanwhile
    loaded(*forkserver.SHARED)
    shipped()  # every worker needs the facts of its model
    return ForkServer(_forked(provider=False), _forked(provider=True))


def _forked(provider: bool) -> ForkServerProcess:
    pid, orders, answers = forkserver.split(provider)
    wait = partial(os.waitpid, pid, 0)
    return ForkServerProcess(pid, os.fdopen(orders, "wb"), os.fdopen(answers, "rb"), wait)


def begin(settings: Settings, service: bool = False) -> ForkServer | None:
    """Start one fork server as a new process."""
    if not _is_wanted(settings, service):
        return None
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "workers.forkserver"],
        start_new_session=True,  # Ctrl-C is for the command
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # if it fails, workers start alone and log errors
    )
    assert process.stdin is not None
    assert process.stdout is not None
    server = ForkServerProcess(process.pid, process.stdin, process.stdout, process.wait)
    return ForkServer(server, server)


def _is_wanted(settings: Settings, service: bool) -> bool:
    """Whether this command starts its own workers, on Linux. A macOS process cannot fork safely
    after it has loaded system frameworks, and macOS has no pidfds."""
    if not hasattr(os, "pidfd_open") or may_trace(settings):
        return False  # a fork ends at once and would not send its last spans
    if service:
        return True
    if settings.broker_url is not None:
        return False  # the workers of that broker do the work
    stack = read_stack(settings.home)
    return stack is None or stack.service_pid is None  # else the service's workers do the work


def may_trace(settings: Settings) -> bool:
    """Whether workers may still have spans to send when they end."""
    return bool(settings.traces) or any(n.startswith("OTEL_EXPORTER_OTLP") for n in os.environ)
