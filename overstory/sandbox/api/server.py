"""The HTTP server: routes, listening, shutdown."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application

from overstory.sandbox.api import endpoints, files
from overstory.sandbox.api.chat import Chat
from overstory.sandbox.api.handler import NotFound
from overstory.sandbox.config import SandboxConfig
from overstory.sandbox.state import SandboxState

BODY_BYTES_MAX = 192_000_000  # above the largest file; a body limit is not documented
BACKLOG = 4096
PARENT_CHECK_SECONDS = 0.5


def application(state: SandboxState) -> Application:
    arguments = {"state": state}
    routes: list[Any] = [
        (r"/v1/chat/completions", Chat, arguments),
        (r"/v1/models", endpoints.Models, arguments),
        (r"/v1/models/([^/]+)", endpoints.OneModel, arguments),
        (r"/v1/files", files.Files, arguments),
        (r"/v1/files/([^/]+)", files.File, arguments),
        (r"/v1/files/([^/]+)/content", files.Content, arguments),
        (r"/v1/token/count", endpoints.TokenCount, arguments),
        (r"/v1/accounts", endpoints.Balance, arguments),
        (r"/_sandbox/stats", endpoints.Stats, arguments),
        (r"/_sandbox/config", endpoints.Config, arguments),
        (r"/_sandbox/reset", endpoints.Reset, arguments),
    ]
    return Application(
        routes,
        default_handler_class=NotFound,
        default_handler_args=arguments,
        log_function=lambda handler: None,
    )


async def serve(
    config: SandboxConfig,
    host: str,
    port: int,
    ledger: Path | None,
    ready: Callable[[str], None],
    parent: int | None = None,
) -> None:
    """Serve until SIGTERM, SIGINT, or the end of process ``parent``.

    ``ready`` is called with the base URL when requests are accepted; port 0 picks a free port.
    """
    _allow_many_sockets()
    state = SandboxState(config, ledger)
    server = HTTPServer(application(state), max_body_size=BODY_BYTES_MAX)
    sockets = bind_sockets(port, address=host, backlog=BACKLOG)
    server.add_sockets(sockets)
    stop = _stop_signal()
    ready(f"http://{host}:{sockets[0].getsockname()[1]}/v1")
    await _wait_for_end(stop, parent)
    server.stop()
    await server.close_all_connections()
    state.close()


def _allow_many_sockets() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else hard
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _stop_signal() -> asyncio.Event:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


async def _wait_for_end(stop: asyncio.Event, parent: int | None) -> None:
    """Wait until ``stop`` is set or process ``parent`` has ended."""
    while not stop.is_set() and (parent is None or _alive(parent)):
        try:
            await asyncio.wait_for(stop.wait(), PARENT_CHECK_SECONDS if parent else None)
        except TimeoutError:
            continue


def _alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except ProcessLookupError:
        return False
    except OSError:  # no permission to signal it, or no /proc: it exists
        return True
    return state != "Z"
