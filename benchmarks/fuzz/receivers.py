"""Receivers of webhooks that drip, cut, lie or never end: the delivery ends in time, with a reason.

A real server on 127.0.0.1 plays the answer of each case.
"""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from benchmarks.fuzz.kind import Kind, check
from benchmarks.fuzz.mutations import of_bytes, prose
from clients.webhooks import Answer, Messenger
from core.text.sanitize import is_storable
from tests.support.receiver import SECRET

TIMEOUT_SECONDS = 0.15
LATE_SECONDS = 5.0
"""The delivery must have ended so long after its time limit. A busy machine may delay it; a
receiver that is waited for is there for minutes."""
ERROR_MAX = 3_000
AT = datetime(2026, 11, 29, tzinfo=UTC)

STARTS = (
    *(b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 204 No Content\r\n", b"HTTP/1.1 410 Gone\r\n"),
    *(
        b"HTTP/1.1 500 x\r\n",
        b"HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1/\r\n",
        b"HTTP/9.9 200\r\n",
    ),
    *(
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 99 x\r\n",
        b"HTTP/1.1 2000 x\r\n",
        b"\r\n",
        b"",
        b"\0",
    ),
    *(
        b"HTTP/1.1 500 \x00\xff\xfe\r\n",
        b"HTTP/1.1 \xd9\xa2\xd9\xa0\xd9\xa0 x\r\n",
        b"<html>",
        b"\x16\x03\x01",
    ),
    *(
        b"HTTP/1.1 -200 x\r\n",
        b"HTTP/1.0 200 OK\r\n",
        b"HTTP/1.1 500 " + b"x" * 70_000 + b"\r\n",
        b"ICY 200 OK\r\n",
    ),
)
HEADERS = (
    *(
        b"Content-Length: 2\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: 99999999999999999999\r\n",
    ),
    *(b"Content-Length: x\r\n", b"Transfer-Encoding: chunked\r\n", b"Content-Encoding: gzip\r\n"),
    *(
        b"X: y\r\n",
        b": \r\n",
        b"X\r\n",
        b" folded\r\n",
        b"X: " + b"y" * 70_000 + b"\r\n",
        b"\0: \0\r\n",
    ),
    *(
        b"Set-Cookie: a\r\n" * 200,
        b"Connection: close\r\n",
        b"\xff\xfe: \xff\r\n",
        b"Content-Type: text/\xe9\r\n",
    ),
)
BODIES = (
    *(
        b"ok",
        b"",
        b"\0\0",
        b"x" * 100_000,
        b"\xff\xfe\xd8\x00",
        b"5\r\nhello\r\n0\r\n\r\n",
        b"-1\r\n",
    ),
    *(
        b"ffffffffffffffff\r\n",
        b"1;" + b"x" * 70_000,
        b"\x1f\x8b\x08\x00" + b"\0" * 100,
        b"\xe2\x80\xae",
    ),
)


@dataclass(frozen=True)
class Case:
    """``parts`` are sent one after the other, with a pause before each; then comes the ``end``."""

    parts: tuple[bytes, ...]
    pause: float
    end: str
    for_ever: bytes

    @property
    def lies(self) -> bool:
        return self.pause > 0 or bool(self.for_ever)


@dataclass
class Server:
    """Plays the answer that was set last, to each connection in a thread of its own."""

    listener: socket.socket
    case: Case | None = None
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}/hook"

    def serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            case = self.case
            if case is not None:
                threading.Thread(target=self._play, args=(connection, case), daemon=True).start()

    def _play(self, connection: socket.socket, case: Case) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(LATE_SECONDS)
            if case.end != "at once":
                connection.recv(65_536)
            for part in case.parts:
                time.sleep(case.pause)
                connection.sendall(part)
            while case.for_ever and not self.ended.is_set():
                connection.sendall(case.for_ever)
                time.sleep(0.002)
            if case.end == "reset":
                linger = struct.pack("ii", 1, 0)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            elif case.end == "silent":
                time.sleep(TIMEOUT_SECONDS * 2)


@dataclass
class Receivers:
    server: Server
    messenger: Messenger

    def make(self, draw: random.Random) -> Case:
        head = draw.choice(STARTS) + b"".join(
            draw.choice(HEADERS) for _ in range(draw.choice((0, 1, 1, 2, 5)))
        )
        body = draw.choice((*BODIES, prose(draw).encode("utf-8", "surrogatepass")))
        answer = head + draw.choice((b"\r\n", b"\r\n", b"\r\n", b"", b"\n")) + body
        if draw.random() < 0.3:
            answer = of_bytes(draw, answer, answer[::-1])
        slow = draw.random()
        if slow < 0.06:  # it drips
            parts = tuple(answer[n : n + 1] for n in range(min(len(answer), 100)))
            return Case(parts, 0.01, "close", b"")
        if slow < 0.12:
            return Case((answer,), 0.0, "close", draw.choice(FOR_EVER))
        cut = draw.randrange(len(answer) + 1)
        parts = (answer[:cut], answer[cut:])
        end = draw.choice(("close", "close", "close", "close", "reset", "at once", "silent"))
        return Case(parts, 0.0, end, b"")

    def run(self, case: Case) -> str:
        self.server.case = case
        self.server.ended = threading.Event()
        began = time.monotonic()
        try:
            answer = self.messenger.post(self.server.url, "msg_1", "{}" * 50, AT)
        finally:
            self.server.ended.set()
        took = time.monotonic() - began
        check(took < TIMEOUT_SECONDS + LATE_SECONDS, f"it took {took:.1f} s")
        return judged(answer)


FOR_EVER = (
    *(b"HTTP/1.1 100 Continue\r\n\r\n", b"X: y\r\n", b"x", b"\r\n", b"1\r\nx\r\n", b"HTTP/1.1 "),
    b"x" * 10_000,
)


def judged(answer: Answer) -> str:
    error = answer.error or ""
    check(is_storable(error), f"the error cannot be stored: {error[:100]!r}")
    check(len(error) < ERROR_MAX, f"the error has {len(error):,} characters")
    check(answer.taken or error, "it failed without a reason")
    check(answer.status is None or 0 <= answer.status <= 999, f"the status is {answer.status}")
    if answer.status is None:
        return "late" if "longer than" in error else "no answer"
    return "taken" if answer.taken else "refused"


@contextmanager
def opened() -> Iterator[Receivers]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Server(listener)
        threading.Thread(target=server.serve, daemon=True).start()
        yield Receivers(server, Messenger(SECRET, ("127.0.0.1",), TIMEOUT_SECONDS))


KIND = Kind("receiver", 5_000, opened, cpu_seconds=3.0)
