"""Who may come in: this machine alone, and no page of another site.

A web page can send requests to 127.0.0.1 from its reader's browser. The browser names that page in
``Origin``; and a page whose own host name was turned to 127.0.0.1 is told by ``Host``.
"""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from overstory.api.problems import problem

BODY_BYTES_MAX = 20_000_000
"""Of a submission: 100,000 names of files of 200 bytes."""
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Guard:
    """ASGI middleware that refuses foreign pages and bodies that are too large."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        most = None if is_streamed(scope, headers) else BODY_BYTES_MAX
        refusal = refusal_of(headers, most)
        if refusal is not None:
            await problem(*refusal)(scope, receive, send)
            return
        try:
            await self.app(scope, _bounded(receive, most), _secured(send))
        except TooLarge:  # nothing is answered before the body is read
            await problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, TOO_LARGE)(scope, receive, send)


def is_streamed(scope: Scope, headers: Headers) -> bool:
    """Whether the body is an upload: its route bounds it, and keeps none of it in memory."""
    if scope["method"] == "PUT":
        return str(scope["path"]).startswith("/api/uploads/")
    is_form = headers.get("content-type", "").lower().startswith("multipart/form-data")
    return is_form and scope["path"] == "/api/jobs"


def refusal_of(headers: Headers, most: int | None) -> tuple[int, str] | None:
    """The status and the reason for which a request is refused by its headers, or None. ``most``:
    bytes of its body; None: any number."""
    host = headers.get("host", "")
    if urlsplit(f"//{host}").hostname not in LOOPBACK:
        return HTTPStatus.MISDIRECTED_REQUEST, f"this service is not called {host!r}"
    origin = headers.get("origin")
    if origin is not None and origin != f"http://{host}":
        return HTTPStatus.FORBIDDEN, f"a page of {origin!r} may not use this service"
    if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        return HTTPStatus.FORBIDDEN, "a page of another site may not use this service"
    length = headers.get("content-length", "0")
    if not length.isdecimal() or (most is not None and int(length) > most):
        return HTTPStatus.REQUEST_ENTITY_TOO_LARGE, TOO_LARGE
    return None


TOO_LARGE = f"a request may have {BODY_BYTES_MAX:,} bytes: name folders or patterns, not files"


class TooLarge(Exception):
    """A body without a length that turned out too large."""


def _bounded(receive: Receive, most: int | None) -> Receive:
    got = 0

    async def counted() -> Message:
        nonlocal got
        message = await receive()
        got += len(message.get("body", b""))
        if most is not None and got > most:
            raise TooLarge
        return message

    return counted


def _secured(send: Send) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in SECURITY_HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return sent
