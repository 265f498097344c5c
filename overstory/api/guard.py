"""The guard before every route: it lets callers in, bounds what they send, and what pages may do.

It is the one place that turns a token, a cookie or this machine into a ``Caller``. A route without
``Calling`` is open to visitors only if its path is listed here too.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import cookie_parser
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.access import PREFIX
from core.errors import ServiceAway
from core.settings import Settings
from overstory.api.body_bounds import Body, check_length, most_bytes
from overstory.api.caller import Caller
from overstory.api.known_tokens import KnownTokens
from overstory.api.problems import NeedsToken, problem
from overstory.api.rates import Rates
from overstory.api.verdict import Rules, is_local, refusal_of

COOKIE = "overstory_session"
OPEN = frozenset(
    {"/", "/api/health", "/api/session", "/docs", "/openapi.json", "/favicon.ico", "/robots.txt"}
)
OPEN_BELOW = ("/shared/", "/static/", "/jobs/")
"""For visitors without a token: pages without data, links to reports, and the way in."""
VISITOR_BYTES = 10_000
"""Of a request without a token: it can only show one."""
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # no-referrer would make browsers hide the Origin of forms
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
NOTHING = "default-src 'none'; frame-ancestors 'none'"
OWN = (
    "default-src 'self' 'unsafe-inline' data: blob:; base-uri 'none'; form-action 'self';"
    " frame-ancestors 'none'; object-src 'none'"
)
"""Of a page that sends no policy in its headers. The report names its style and script by hash in
the page itself, and a browser obeys both."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """``caller``: None for a visitor. ``secret``: the one by which the caller was found."""

    caller: Caller | None
    secret: str | None = None


BEARER = "A token of 'overstory token create'. On the machine of the service none is needed."


class Revoked(Exception):
    """The token of a reply that is being streamed holds no more."""


class Guard:
    """ASGI middleware. ``elsewhere``: the service listens beyond this machine."""

    def __init__(
        self, app: ASGIApp, settings: Settings, known: KnownTokens, elsewhere: bool = False
    ) -> None:
        self.app = app
        self._settings = settings
        self._known = known
        self._rules = Rules.of(settings.api_hosts, settings.api_needs_token, elsewhere)
        self._rates = Rates(settings.api_rpm)

    @staticmethod
    def describe(app: FastAPI) -> None:
        """Say in the OpenAPI description of ``app`` that a token may be needed."""
        described = app.openapi

        def openapi() -> dict[str, Any]:
            description = described()
            schemes = description.setdefault("components", {}).setdefault("securitySchemes", {})
            schemes["token"] = {"type": "http", "scheme": "bearer", "description": BEARER}
            description["security"] = [{"token": []}, {}]
            return description

        app.openapi = openapi  # type: ignore[method-assign]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)
        else:
            await send({"type": "websocket.close"})  # there are none here

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        most = most_bytes(scope, headers, self._settings)
        body = Body(receive, headers, most)
        try:
            admitted = await self._admit(scope, headers)
            if admitted.caller is None:
                most = VISITOR_BYTES
                body = Body(receive, headers, most)
            check_length(headers, most)
        except (HTTPException, ServiceAway) as error:
            await _refused(error, scope["path"])(scope, receive, _secured(send, body))
            return
        scope.setdefault("state", {})["caller"] = admitted.caller
        try:
            await self.app(scope, body.receive, _secured(send, body, self._holds(admitted)))
        except Revoked:  # the reply has been ended
            return

    async def _admit(self, scope: Scope, headers: Headers) -> Admitted:
        refusal = refusal_of(scope["method"], headers, self._rules)
        if refusal is not None:
            raise HTTPException(refusal.status, refusal.detail)
        peer = scope["client"][0] if scope.get("client") else None
        admitted = await self._shown(headers, is_local(peer, headers, self._rules))
        caller = admitted.caller
        if caller is None and not _is_open(scope["path"]):
            raise NeedsToken
        if caller is not None and caller.name is not None:
            self._check_rate(caller.name)
        return admitted

    async def _shown(self, headers: Headers, local: bool) -> Admitted:
        """The caller by what a request shows: a token, a cookie, or that it is of this machine.

        Programs that were written for another endpoint send its key here. This machine needs none,
        so a key that cannot be ours is no reason to refuse them there."""
        scheme, _, secret = headers.get("authorization", "").partition(" ")
        secret = secret.strip()
        if scheme.lower() == "bearer" and (secret.startswith(PREFIX) or not local):
            caller = await self._known.caller(secret)
            if caller is None:
                raise NeedsToken(wrong=True)
            return Admitted(caller, secret)
        cookie = cookie_parser(headers.get("cookie", "")).get(COOKIE)
        if cookie and (caller := await self._known.caller(cookie)):
            return Admitted(caller, cookie)
        return Admitted(Caller() if local else None)

    def _check_rate(self, name: str) -> None:
        seconds = self._rates.wait(name)
        if seconds > 0.0:
            raise HTTPException(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"a token may send {self._settings.api_rpm:,} requests a minute, which is"
                " OVERSTORY_API_RPM",
                {"Retry-After": str(math.ceil(seconds))},
            )

    def _holds(self, admitted: Admitted) -> Callable[[], Awaitable[bool]] | None:
        """Asks whether the secret of a reply that is being streamed still holds."""
        secret = admitted.secret
        if secret is None:
            return None

        async def holds() -> bool:
            try:
                return await self._known.caller(secret) is not None
            except ServiceAway:  # then there is nothing to be read either
                return True

        return holds


def _is_open(path: str) -> bool:
    return path in OPEN or path.startswith(OPEN_BELOW)


def _refused(error: HTTPException | ServiceAway, path: str) -> Response:
    if isinstance(error, ServiceAway):
        return problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error), path=path)
    return problem(error.status_code, error.detail, path=path, headers=error.headers)


def _secured(send: Send, body: Body, holds: Callable[[], Awaitable[bool]] | None = None) -> Send:
    """Adds our headers. A connection whose request has not been read to its end is closed, because
    the rest may never come. A streamed reply ends when ``holds`` says no."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            is_page = headers.get("content-type", "").startswith("text/html")
            headers.setdefault("Content-Security-Policy", OWN if is_page else NOTHING)
            for name, value in SECURITY_HEADERS.items():
                headers.setdefault(name, value)
            if body.is_open:
                headers["Connection"] = "close"
        elif message.get("more_body") and holds is not None and not await holds():
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            raise Revoked
        await send(message)

    return sent
