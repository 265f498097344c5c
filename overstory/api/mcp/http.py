"""``/mcp`` of the API: MCP over streamable HTTP, for the caller of each request.

It keeps no sessions, so every request is answered by its own token, and a restart of the service
loses nothing. Host and Origin were checked by the guard of the whole API, so the SDK does not check
them again with other lists.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from http import HTTPStatus
from importlib.util import find_spec
from typing import Any

from anyio import to_thread
from starlette.types import ASGIApp, Receive, Scope, Send

from overstory.api.caller import known_caller
from overstory.api.estimates import Estimates
from overstory.api.mcp import INSTALL
from overstory.api.mcp.agents import Agent, TokenAgent
from overstory.api.problems import problem
from overstory.api.submissions import Submissions
from tasks.runtime.services import Services

NOT_INSTALLED = f"MCP is not installed here: {INSTALL}, then restart the service"


class McpEndpoint:
    """An ASGI app. The SDK takes a second to import, so it is loaded for the first request."""

    def __init__(self, services: Services, submissions: Submissions, estimates: Estimates) -> None:
        self._services = services
        self._submissions = submissions
        self._estimates = estimates
        self._opening = asyncio.Lock()
        self._app: ASGIApp | None = None
        self._running: asyncio.Task[None] | None = None

    @contextlib.asynccontextmanager
    async def lifespan(self, _: Any) -> AsyncIterator[None]:
        """Ends what the first request has started."""
        try:
            yield
        finally:
            if self._running is not None:
                self._running.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await self._running

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if find_spec("mcp") is None:
            await problem(HTTPStatus.NOT_IMPLEMENTED, NOT_INSTALLED)(scope, receive, send)
            return
        async with self._opening:
            app = self._app or await self._open()
        await app(scope, receive, send)

    async def _open(self) -> ASGIApp:
        app, manager = await to_thread.run_sync(self._load)
        ready = asyncio.Event()

        async def run() -> None:
            async with manager.run():
                ready.set()
                await asyncio.Event().wait()

        self._running = asyncio.create_task(run())
        await ready.wait()
        self._app = app
        return app

    def _load(self) -> tuple[ASGIApp, Any]:
        from mcp.server.transport_security import TransportSecuritySettings

        from overstory.api.mcp.server import make_server

        server = make_server(self._agent)
        server.streamable_http_app(
            stateless_http=True,
            transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
        )
        return server.session_manager.asgi_app, server.session_manager

    async def _agent(self, request: Any) -> Agent:
        return TokenAgent(self._services, known_caller(request), self._submissions, self._estimates)
