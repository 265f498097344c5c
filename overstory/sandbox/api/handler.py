"""What all endpoints share: trace id, error envelope, auth, and waiting that a client can end."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from types import TracebackType
from typing import Any
from uuid import uuid4

from tornado.http1connection import HTTP1Connection
from tornado.iostream import StreamClosedError
from tornado.web import HTTPError, RequestHandler

from overstory.sandbox.config import SandboxConfig
from overstory.sandbox.errors import Refusal, not_found, wrong_param
from overstory.sandbox.state import Account, SandboxState

LARGE_BODY_BYTES = 256 * 1024


class ClientGone(Exception):
    """The client closed its connection before the reply was written."""


class Handler(RequestHandler):
    """The base of all endpoints. A Refusal raised anywhere becomes its envelope."""

    state: SandboxState

    def initialize(self, state: SandboxState) -> None:
        self.state = state
        self._gone = asyncio.Event()

    def set_default_headers(self) -> None:
        """X-Trace-Id on every reply; no header that StepFun does not send."""
        self.trace = getattr(self, "trace", "") or uuid4().hex
        self.set_header("X-Trace-Id", self.trace)
        self.clear_header("Server")

    @property
    def config(self) -> SandboxConfig:
        return self.state.config

    def account(self) -> Account:
        """The caller's account. Raises Refusal 401, and 503 in an outage."""
        account = self.state.account(self.authorization)
        self.state.check_open()
        return account

    @property
    def authorization(self) -> str:
        return str(self.request.headers.get("Authorization", ""))

    async def json_object(self) -> dict[str, Any]:
        """The body. Raises Refusal 400 if it is not a JSON object. A thread parses a large one."""
        data = self.request.body
        try:
            if len(data) > LARGE_BODY_BYTES:
                body = await asyncio.to_thread(json.loads, data)
            else:
                body = json.loads(data)
        except ValueError as error:
            raise wrong_param("the body is not valid JSON") from error
        if not isinstance(body, dict):
            raise wrong_param("the body must be a JSON object")
        return body

    def send(self, value: object) -> None:
        """Finish with JSON."""
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(value, ensure_ascii=False))

    async def pause(self, seconds: float) -> None:
        """Wait. Raises ClientGone as soon as the client closes the connection."""
        if seconds > 0:
            try:
                await asyncio.wait_for(self._gone.wait(), seconds)
            except TimeoutError:
                return
        if self._gone.is_set():
            raise ClientGone

    def on_connection_close(self) -> None:
        self._gone.set()

    async def push(self, data: str) -> None:
        """Send a part of the reply now. Raises ClientGone."""
        self.write(data)
        try:
            await self.flush()
        except StreamClosedError as error:
            raise ClientGone from error

    def hang_up(self, reset: bool = False) -> None:
        """Close the connection now, with an RST if ``reset``."""
        assert isinstance(self.request.connection, HTTP1Connection)
        stream = self.detach()
        connection: socket.socket | None = getattr(stream, "socket", None)
        if reset and connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        stream.close()

    def compute_etag(self) -> None:
        """No ETag: the API sends none."""

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """The envelope of the exception that was raised."""
        error = kwargs.get("exc_info", (None, None))[1]
        refusal = (
            error if isinstance(error, Refusal) else _refusal_of(status_code, self.request.path)
        )
        self.set_status(refusal.status)
        self.send(refusal.envelope)

    def log_exception(
        self,
        typ: type[BaseException] | None,
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        if not isinstance(value, Refusal | HTTPError | ClientGone):
            super().log_exception(typ, value, tb)


class NotFound(Handler):
    """All other paths."""

    def prepare(self) -> None:
        raise not_found(self.request.path)


def _refusal_of(status: int, path: str) -> Refusal:
    if status in (404, 405):
        return not_found(path)
    kind = "request_params_invalid" if status < 500 else "internal_error"
    return Refusal(status, kind, kind.replace("_", " "))
