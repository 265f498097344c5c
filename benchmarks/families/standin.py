"""An OpenAI-compatible endpoint that bills by a family's rule and refuses what its owner refuses.

It is also an HTTP proxy: a request to http://api.openai.com through it is answered here, so that
the product knows whose host it talks to.
"""

from __future__ import annotations

import base64
import io
import json
import math
import re
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from PIL import Image

from benchmarks.eyes.replies import Answer, answer
from benchmarks.eyes.rows import Row
from benchmarks.families import bills

Body = Mapping[str, Any]
LINE = "soft shapes in many tones, and a small square of one colour in a corner"
READING = [Row(LINE, 1.0)]
"""As long as what models usually write about a picture."""
SUMMARY = Answer("Red, green and blue in many tones; the first one stands out [1].", "stop", 0, 0)
_PIECE = re.compile(r"[^\W\d]+|\d|[^\w\s]")
"""A word, a digit or a sign: about what tokenizers make of English."""
WORD = 8
"""Letters of a word that is one token."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One image of a request, as it came."""

    width: int
    height: int
    bytes: int
    detail: str


Refuse = Callable[[Body, list[Picture], int], str | None]
"""Why a request with these pictures and prompt tokens is refused; None: it is answered."""


@dataclass(frozen=True, slots=True)
class Family:
    """``host``: of the owner, None for a server of one's own; ``price``: of a million tokens, read
    and written."""

    name: str
    model: str
    host: str | None
    bill: Callable[[int, int, str], int]
    refuse: Refuse
    price: tuple[float, float]


def _openai(body: Body, pictures: list[Picture], tokens: int) -> str | None:
    if "max_tokens" in body:
        return (
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use"
            " 'max_completion_tokens' instead."
        )
    if body.get("temperature", 1) != 1:
        return "Unsupported value: 'temperature' does not support 0 with this model."
    return None


def _claude(body: Body, pictures: list[Picture], tokens: int) -> str | None:
    if len(pictures) > 20 and any(max(one.width, one.height) > 2000 for one in pictures):
        return "image dimensions exceed max allowed size for many-image requests: 2000 pixels"
    if sum(one.bytes for one in pictures) * 4 / 3 > 32_000_000:
        return "request exceeds the maximum size of 32 MB"
    return None


def _gemini(body: Body, pictures: list[Picture], tokens: int) -> str | None:
    too_large = sum(one.bytes for one in pictures) * 4 / 3 > 20_000_000
    return "Request payload size exceeds the limit: 20971520 bytes." if too_large else None


def _vllm(body: Body, pictures: list[Picture], tokens: int) -> str | None:
    most = 131_072
    if tokens + int(body.get("max_tokens", 0)) <= most:
        return None
    return (
        f"This model's maximum context length is {most} tokens. However, your request has"
        f" {tokens} input tokens. Please reduce the length of the input messages."
    )


FAMILIES = (
    Family("OpenAI", "gpt-5.6-sol", "api.openai.com", bills.openai, _openai, (2.0, 12.0)),
    Family("Claude", "claude-opus-5", "api.anthropic.com", bills.claude, _claude, (5.0, 25.0)),
    Family(
        "Gemini",
        "gemini-2.5-flash",
        "generativelanguage.googleapis.com",
        bills.gemini,
        _gemini,
        (0.3, 2.5),
    ),
    Family("Qwen-VL", "Qwen/Qwen2.5-VL-7B-Instruct", None, bills.qwen, _vllm, (0.2, 0.6)),
    Family("InternVL", "OpenGVLab/InternVL3-8B", None, bills.internvl, _vllm, (0.2, 0.6)),
)


@dataclass
class Account:
    """What was billed. ``refused``: the texts of refusals."""

    prompt: int = 0
    completion: int = 0
    calls: int = 0
    refused: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def cost(self, family: Family) -> float:
        read, written = family.price
        return (self.prompt * read + self.completion * written) / 1e6


def text_tokens(text: str) -> int:
    return sum(math.ceil(len(piece) / WORD) for piece in _PIECE.findall(text))


@contextmanager
def served(family: Family) -> Iterator[tuple[str, Account]]:
    """The address of a stand-in that answers until the block ends, and what it billed."""
    account = Account()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._send(200, {"object": "list", "data": [{"id": family.model, "object": "model"}]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, reply = _replied(family, account, body)
            self._send(status, reply)

        def _send(self, status: int, reply: Body) -> None:
            data = json.dumps(reply).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Nothing: the account has it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", account
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _replied(family: Family, account: Account, body: Body) -> tuple[int, Body]:
    pictures, text = _content(body)
    prompt = text_tokens(text)
    prompt += sum(family.bill(one.width, one.height, one.detail) for one in pictures)
    why = family.refuse(body, pictures, prompt)
    if why is not None:
        with account.lock:
            account.refused.append(why)
        return 400, {"error": {"message": why, "type": "invalid_request_error", "code": None}}
    reply = answer(body, lambda data: READING) if pictures else SUMMARY
    written = text_tokens(reply.text)
    with account.lock:
        account.calls += 1
        account.prompt += prompt
        account.completion += written
    message = {"role": "assistant", "content": reply.text}
    return 200, {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion",
        "created": 1,
        "model": family.model,
        "choices": [{"index": 0, "message": message, "finish_reason": reply.finish}],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": written,
            "total_tokens": prompt + written,
        },
    }


def _content(body: Body) -> tuple[list[Picture], str]:
    """The pictures of a request and all of its text."""
    pictures, texts = [], []
    for message in body["messages"]:
        content = message["content"]
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        for part in parts:
            if part["type"] == "text":
                texts.append(part["text"])
                continue
            data = base64.b64decode(part["image_url"]["url"].partition(",")[2])
            with Image.open(io.BytesIO(data)) as image:
                detail = part["image_url"].get("detail", "auto")
                pictures.append(Picture(*image.size, len(data), detail))
    return pictures, "\n".join(texts)
