"""Another app that receives webhooks, verifies them and answers as a test says."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from standardwebhooks import Webhook

SECRET = "whsec_OTg3NjU0MzIxMDk4NzY1NDMyMTA5ODc2"


@dataclass
class Receiver:
    """The webhooks that came in, verified; ``status`` is what the next one is answered with."""

    url: str = ""
    status: int = 204
    got: list[dict[str, Any]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)

    def take(self, body: bytes, headers: dict[str, str]) -> None:
        self.got.append(Webhook(SECRET).verify(body, headers))
        self.ids.append(headers["webhook-id"])


@contextmanager
def listening() -> Iterator[Receiver]:
    """A receiver on a port of 127.0.0.1."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.take(body, {name.lower(): value for name, value in self.headers.items()})
            self.send_response(receiver.status)
            self.end_headers()
            self.wfile.write(b"as told" if receiver.status >= 300 else b"")

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        receiver.url = f"http://127.0.0.1:{server.server_port}/hook"
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()
