"""A provider without latency: ``python -m benchmarks.scale.standin PORT``.

The sandbox decodes every picture, which would be most of the work here. This server checks what a
service can get wrong at this size: each image is a picture that arrived whole or a file that is
stored, a request holds no more of them than allowed, and no picture is asked about twice (its
count ``repeated``). It answers with a line for each image that only that image can have.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import json
import re
import sys
from dataclasses import asdict, dataclass, field
from typing import Any

PNG, JPEG, WEBP = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF"
MODEL = "scale-1"
IMAGES_MAX = 60
IMAGE_TOKENS = 200
_CITED = re.compile(r"\[\d+\]")
_BOUNDARY = re.compile(rb"boundary=\"?([^\";\r\n]+)")


@dataclass
class Counts:
    """What the server has seen."""

    requests: int = 0
    chats: int = 0
    images: int = 0
    repeated: int = 0
    refused: int = 0
    uploads: int = 0
    deletions: int = 0
    bytes_in: int = 0
    bytes_out: int = 0


class Refused(Exception):
    """The request is wrong."""


@dataclass
class Account:
    counts: Counts = field(default_factory=Counts)
    files: dict[str, bytes] = field(default_factory=dict)  # id -> digest
    asked: set[bytes] = field(default_factory=set)  # digests of pictures that were asked about

    def answer(self, method: str, path: str, head: bytes, body: bytes) -> Any:
        path = path.partition("?")[0]
        if path == "/_counts":
            return asdict(self.counts)
        self.counts.requests += 1
        match method, path.removeprefix("/v1"):
            case "POST", "/chat/completions":
                return self._chat(json.loads(body))
            case "POST", "/files":
                return self._upload(head, body)
            case "DELETE", name if name.startswith("/files/"):
                self.counts.deletions += 1
                return {"id": name[7:], "object": "file", "deleted": bool(self.files.pop(name[7:]))}
            case "GET", "/files":
                return {"object": "list", "data": [self._card(name) for name in self.files]}
            case "GET", "/models":
                return {"object": "list", "data": [{"id": MODEL, "object": "model"}]}
            case "GET", "/accounts":
                return {"object": "account", "type": "prepaid", "balance": 1e9}
        raise Refused(f"{method} {path}")

    def _upload(self, head: bytes, body: bytes) -> Any:
        found = _BOUNDARY.search(head)
        parts = body.split(b"--" + found[1]) if found else []
        file = next((part for part in parts if b"filename" in part.partition(b"\r\n\r\n")[0]), None)
        if file is None:
            raise Refused("no file")
        digest = _digest(file.partition(b"\r\n\r\n")[2][:-2])
        self.counts.uploads += 1
        name = f"file-{self.counts.uploads}"
        self.files[name] = digest
        return self._card(name)

    def _card(self, name: str) -> Any:
        card = {"id": name, "object": "file", "bytes": 1, "created_at": 0, "filename": name}
        return card | {"purpose": "storage", "status": "success"}

    def _chat(self, body: Any) -> Any:
        contents = [message["content"] for message in body["messages"]]
        parts = [part for each in contents if isinstance(each, list) for part in each]
        text = "\n".join([c for c in contents if isinstance(c, str)] + [_text(p) for p in parts])
        digests = [self._shown(part["image_url"]["url"]) for part in parts if "image_url" in part]
        if len(digests) > IMAGES_MAX:
            raise Refused(f"{len(digests)} images in one request")
        self.counts.chats += 1
        self.counts.images += len(digests)
        self.counts.repeated += sum(digest in self.asked for digest in digests)
        self.asked.update(digests)
        lines = [
            f"[{number}] A plain grey square with the mark {digest.hex()} in its first row."
            for number, digest in enumerate(digests, start=1)
        ]
        cited = "[1]" if digests else (_CITED.findall(text) or [""])[-1]
        answer = f"All of the squares are plain and grey {cited}."
        content = "\n".join([*lines, "===", answer] if digests else [answer])
        usage = {
            "prompt_tokens": len(text) // 3 + IMAGE_TOKENS * len(digests),
            "completion_tokens": len(content) // 3,
        }
        return {
            "id": f"chat-{self.counts.chats}",
            "object": "chat.completion",
            "created": 0,
            "model": body["model"],
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": content},
                    "finish_reason": "stop",
                }
            ],
            "usage": usage | {"total_tokens": sum(usage.values())},
        }

    def _shown(self, url: str) -> bytes:
        if not url.startswith("data:"):
            name = url.rpartition("/")[2]
            if name not in self.files:
                raise Refused(f"no file {name}")
            return self.files[name]
        try:
            return _digest(base64.b64decode(url.partition(",")[2], validate=True))
        except binascii.Error as error:
            raise Refused(f"not base64: {error}") from error


def _text(part: Any) -> str:
    return str(part.get("text", ""))


def _digest(picture: bytes) -> bytes:
    """Raises Refused for what is not a whole picture."""
    whole = (
        (picture.startswith(PNG) and picture.endswith(b"IEND\xaeB`\x82"))
        or (picture.startswith(JPEG) and picture.endswith(b"\xff\xd9"))
        or (picture.startswith(WEBP) and int.from_bytes(picture[4:8], "little") == len(picture) - 8)
    )
    if not whole:
        raise Refused(f"not a whole picture: {picture[:12]!r} of {len(picture)} bytes")
    return hashlib.blake2b(picture, digest_size=10).digest()


class Connection(asyncio.Protocol):
    """HTTP/1.1 with Content-Length; requests of one connection follow each other."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._data = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._account.counts.bytes_in += len(data)
        self._data += data
        while (end := self._data.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._data[:end])
            size = int((re.search(rb"(?i)\r\ncontent-length: *(\d+)", head) or [0, 0])[1])
            if len(self._data) < end + 4 + size:
                return
            body = bytes(self._data[end + 4 : end + 4 + size])
            del self._data[: end + 4 + size]
            self._reply(head, body)

    def _reply(self, head: bytes, body: bytes) -> None:
        method, path, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
        status = b"200 OK"
        try:
            value = self._account.answer(method, path, head, body)
        except (Refused, KeyError, ValueError, TypeError) as error:
            self._account.counts.refused += 1
            status = b"400 Bad Request"
            message = f"{type(error).__name__}: {error}"
            print(message, file=sys.stderr, flush=True)
            value = {"error": {"message": message, "type": "request_params_invalid"}}
        said = json.dumps(value).encode()
        reply = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
        reply %= (status, len(said), said)
        self._account.counts.bytes_out += len(reply)
        assert self._transport is not None
        self._transport.write(reply)


async def serve(port: int) -> None:
    account = Account()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Connection(account), "127.0.0.1", port, backlog=512, reuse_address=True
    )
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
