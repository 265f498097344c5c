"""A scripted HTTP endpoint for the shapes of failure: it answers what it was told, in order.

For errors, cut and dripping bodies. What the real service would say to a request is the business
of ``overstory.sandbox``.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


@dataclass(frozen=True)
class Answer:
    """One response. ``body``: bytes as they are, anything else as JSON.

    ``cut``: promise the whole body, send half, hang up. ``drip``: one byte of the body each 20 ms,
    until the client or the endpoint goes away. ``hang_up``: no response at all.
    """

    status: int = 200
    body: Any = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    drip: bool = False
    hang_up: bool = False

    @property
    def content(self) -> bytes:
        """The body in bytes."""
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


@dataclass(frozen=True)
class Received:
    """One request as it came over the wire; header names in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class FakeEndpoint:
    """``with FakeEndpoint(Answer(...), ...) as endpoint``; the last answer is given for ever."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = deque(answers or [Answer()])
        self.received: list[Received] = []
        self.connections = 0
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def url(self) -> str:
        """The base URL, /v1 included."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def take(self, request: Received) -> Answer:
        """Records a request and hands out its answer."""
        with self._lock:
            self.received.append(request)
            return self.answers.popleft() if len(self.answers) > 1 else self.answers[0]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512

    def __init__(self, endpoint: FakeEndpoint) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.endpoint = endpoint

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away mid-answer is what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.endpoint.connections += 1

    def answer(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        size = int(headers.get("content-length", 0))
        body = self.rfile.read(size)
        if len(body) < size:  # the client went away in the middle of its request
            self.close_connection = True
            return
        answer = self.server.endpoint.take(Received(self.command, self.path, headers, body))
        if answer.hang_up:
            self.close_connection = True
            return
        self._start(answer)
        self._write(answer)

    do_GET = do_POST = do_DELETE = answer  # noqa: N815

    def _start(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in {"Content-Type": "application/json", **answer.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        self.wfile.flush()

    def _write(self, answer: Answer) -> None:
        if answer.drip:
            self._drip(answer.content)
        elif answer.cut:
            self.wfile.write(answer.content[: len(answer.content) // 2])
            self.close_connection = True
        else:
            self.wfile.write(answer.content)
        self.wfile.flush()

    def _drip(self, content: bytes) -> None:
        for position in range(len(content)):
            if self.server.endpoint.stopping.wait(0.02):
                break
            self.wfile.write(content[position : position + 1])
            self.wfile.flush()
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Silent."""
