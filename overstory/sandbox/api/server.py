"""The HTTP server: routes, listening, and ending when it should."""

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


def application(house: SandboxState) -> Application:
    """The routes of a sandbox."""
    given = {"house": house}
    routes: list[Any] = [
        (r"/v1/chat/completions", Chat, given),
        (r"/v1/models", endpoints.Models, given),
        (r"/v1/models/([^/]+)", endpoints.OneModel, given),
        (r"/v1/files", files.Files, given),
        (r"/v1/files/([^/]+)", files.File, given),
        (r"/v1/files/([^/]+)/content", files.Content, given),
        (r"/v1/token/count", endpoints.TokenCount, given),
        (r"/v1/accounts", endpoints.Balance, given),
        (r"/_sandbox/stats", endpoints.Stats, given),
        (r"/_sandbox/config", endpoints.Config, given),
        (r"/_sandbox/reset", endpoints.Reset, given),
    ]
    return Application(
        routes,
        default_handler_class=NotFound,
        default_handler_args=given,
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

    ``ready`` gets the base URL once requests are taken; port 0 picks a free one.
    """
    _allow_many_sockets()
    house = SandboxState(config, ledger)
    server = HTTPServer(application(house), max_body_size=BODY_BYTES_MAX)
    sockets = bind_sockets(port, address=host, backlog=BACKLOG)
    server.add_sockets(sockets)
    asked = _end_asked()
    ready(f"http://{host}:{sockets[0].getsockname()[1]}/v1")
    await _end(asked, parent)
    server.stop()
    await server.close_all_connections()
    house.close()


def _allow_many_sockets() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else hard
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _end_asked() -> asyncio.Event:
    """Set by SIGTERM and SIGINT, from now on."""
    asked = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked.set)
    return asked


async def _end(asked: asyncio.Event, parent: int | None) -> None:
    """Wait until the end is asked for, or ``parent`` is gone."""
    while not asked.is_set() and (parent is None or _alive(parent)):
        try:
            await asyncio.wait_for(asked.wait(), PARENT_CHECK_SECONDS if parent else None)
        except TimeoutError:
            continue


def _alive(pid: int) -> bool:
    """Whether a process runs; one that ended but was not yet waited for does not."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except ProcessLookupError:
        return False
    except OSError:  # not ours to signal, or no /proc: it exists
        return True
    return state != "Z"
