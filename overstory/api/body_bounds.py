"""Bodies of requests: how large they may be, and how slowly they may come."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope

from core.settings import Settings

GRACE_SECONDS = 20.0
SLOWEST = 10_000
"""Bytes a second of a body, on average after GRACE_SECONDS: a tenth of a poor mobile line. A
sender of one byte now and then would hold a connection for ever."""


class TooLarge(HTTPException):
    """A body with more bytes than its route takes, whether or not it told its length."""

    def __init__(self, most: int) -> None:
        super().__init__(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"a request may have {most:,} bytes here: name folders, patterns or URLs, or upload"
            " files one by one",
        )


class TooSlow(HTTPException):
    """A body that trickles in."""

    def __init__(self) -> None:
        super().__init__(
            HTTPStatus.REQUEST_TIMEOUT, f"a body must come with at least {SLOWEST:,} bytes a second"
        )


def most_bytes(scope: Scope, headers: Headers, settings: Settings) -> int:
    """How many bytes the body of a request may have."""
    path: str = scope["path"]
    form = headers.get("content-type", "").startswith("multipart/form-data")
    if path.startswith(("/api/uploads/", "/v1/")) or (path == "/api/jobs" and form):
        return settings.api_upload_bytes
    return settings.api_body_bytes


def check_length(headers: Headers, most: int) -> None:
    """Raises TooLarge for a body that says so itself."""
    length = headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > most:
        raise TooLarge(most)


class Body:
    """Hands on the messages of one request and counts them. What the service does with a piece
    before it asks for the next one is not counted as the sender's time."""

    def __init__(
        self,
        receive: Receive,
        headers: Headers,
        most: int,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._receive = receive
        self._most = most
        self._now = now
        self._bytes = 0
        self._waited = 0.0
        told = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
        self.is_open = told
        """Whether a part of it has not come yet."""

    async def receive(self) -> Message:
        """The next message. Raises TooLarge, TooSlow."""
        if not self.is_open:
            return await self._receive()
        began = self._now()
        rest = GRACE_SECONDS + self._bytes / SLOWEST - self._waited
        if rest <= 0.0:
            raise TooSlow
        try:
            async with asyncio.timeout(rest):
                message = await self._receive()
        except TimeoutError:
            raise TooSlow from None
        self._waited += self._now() - began
        self._bytes += len(message.get("body", b""))
        if self._bytes > self._most:
            raise TooLarge(self._most)
        self.is_open = bool(message.get("more_body", False))
        return message
