"""Connections whose senders take too long, or too many bytes, to say what they want."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEADER_SECONDS = 10.0
"""From the first byte, or from the connection, to the end of a request's headers. Without a bound,
a few thousand connections that send a byte now and then keep everybody else out (slowloris)."""
HEADER_BYTES = 65_536


class HeaderTooLarge(Exception):
    """The headers of a request have more than HEADER_BYTES bytes."""


class BoundedConnection(HttpToolsProtocol):
    """uvicorn's protocol, which itself waits for headers for ever and keeps any number of them."""

    header_seconds = HEADER_SECONDS
    _late: asyncio.TimerHandle | None = None
    _header_bytes = 0

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._await_headers()

    def data_received(self, data: bytes) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self._await_headers()
        super().data_received(data)

    def on_message_begin(self) -> None:
        self._header_bytes = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._cancel()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel()
        super().connection_lost(exc)

    def _await_headers(self) -> None:
        if self._late is None:
            self._late = self.loop.call_later(self.header_seconds, self.transport.close)

    def _cancel(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _count(self, size: int) -> None:
        """The parser turns the error into a reply with status 400 and closes the connection."""
        self._header_bytes += size
        if self._header_bytes > HEADER_BYTES:
            raise HeaderTooLarge
