"""The HTTP server around ``replies``: POST /v1/chat/completions and GET /v1/models."""

from __future__ import annotations

import json
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from benchmarks.eyes.replies import Answer, BadRequest, Reading, answer

MODEL = "eyes"


def server(read: Reading, port: int = 0, most_images: int | None = None) -> ThreadingHTTPServer:
    """A server on 127.0.0.1, not yet running; port 0 takes a free one.

    ``read`` gives the rows of an image's bytes; ``most_images`` refuses larger requests. The
    attribute ``prompt_tokens`` of the server counts what was charged.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._send(200, {"object": "list", "data": [{"id": MODEL, "object": "model"}]})

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if not self.path.endswith("/chat/completions"):
                self._send(404, _error("there is only /v1/chat/completions"))
                return
            try:
                body = json.loads(content)
                given = answer(body, read, most_images)
            except (BadRequest, OSError, KeyError, TypeError, ValueError) as error:
                self._send(400, _error(f"{error}"))
                return
            self._send(200, _completion(str(body.get("model", MODEL)), given))

        def _send(self, status: int, body: dict[str, Any]) -> None:
            data = json.dumps(body, ensure_ascii=False).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Nothing: the product has its own log of calls."""

    running = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    running.daemon_threads = True
    return running


def _error(message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "code": None}}


def _completion(model: str, given: Answer) -> dict[str, Any]:
    tokens = given.prompt_tokens + given.completion_tokens
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": given.text},
                "finish_reason": given.finish,
            }
        ],
        "usage": {
            "prompt_tokens": given.prompt_tokens,
            "completion_tokens": given.completion_tokens,
            "total_tokens": tokens,
        },
    }
