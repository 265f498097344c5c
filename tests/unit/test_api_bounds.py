"""Bounds of one request and of a token's requests: bytes, time, number."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from itertools import count

import pytest
import uvicorn
from starlette.datastructures import Headers
from uvicorn.server import ServerState

from core.settings import load
from overstory.api.body_bounds import GRACE_SECONDS, SLOWEST, Body, TooLarge, TooSlow, most_bytes
from overstory.api.connections import HEADER_BYTES, BoundedConnection
from overstory.api.rates import Rates

CHUNKED = Headers({"transfer-encoding": "chunked"})


def pieces(*sizes: int) -> Iterator[dict[str, object]]:
    for number, size in enumerate(sizes, 1):
        more = number < len(sizes)
        yield {"type": "http.request", "body": b"x" * size, "more_body": more}


def read(sizes: tuple[int, ...], most: int, seconds: float = 0.0) -> int:
    """Read a body whose pieces come ``seconds`` apart."""
    messages, clock = pieces(*sizes), count(0.0, seconds)

    async def receive() -> dict[str, object]:
        return next(messages)

    async def all_of_it() -> int:
        body = Body(receive, CHUNKED, most, lambda: next(clock))  # type: ignore[arg-type]
        got = 0
        while body.is_open:
            got += len((await body.receive())["body"])
        return got

    return asyncio.run(all_of_it())


def test_a_body_without_a_length_is_counted() -> None:
    assert read((60, 40), 100) == 100
    with pytest.raises(TooLarge):
        read((60, 40, 1), 100)


def test_a_body_that_trickles_in_is_refused() -> None:
    steady = (SLOWEST,) * 60
    assert read(steady, 10**9, seconds=1.0) == 60 * SLOWEST
    with pytest.raises(TooSlow):
        read((1,) * 60, 10**9, seconds=GRACE_SECONDS / 10)


def test_routes_with_images_take_more_bytes() -> None:
    settings = load()
    form = {"content-type": "multipart/form-data; boundary=x"}
    large = [
        ("/api/uploads/abc", {}),
        ("/api/jobs", form),
        ("/v1/chat/completions", {"content-type": "application/json"}),
    ]
    for path, headers in large:
        allowed = most_bytes({"path": path}, Headers(headers), settings)
        assert allowed == settings.api_upload_bytes, path
    for path, headers in [("/api/jobs", {}), ("/api/uploads", {}), ("/api/jobs/1/ask", form)]:
        allowed = most_bytes({"path": path}, Headers(headers), settings)
        assert allowed == settings.api_body_bytes, path


def test_a_token_has_the_requests_of_a_minute_and_they_come_back_steadily() -> None:
    at = 0.0
    rates = Rates(60, lambda: at)
    assert [rates.wait("lab") for _ in range(60)] == [0.0] * 60
    assert rates.wait("lab") == pytest.approx(1.0)
    assert rates.wait("shop") == 0.0
    at = 0.75
    assert rates.wait("lab") == pytest.approx(0.25)
    at = 1.0
    assert rates.wait("lab") == 0.0
    assert rates.wait("lab") > 0.0
    at = 1e6
    assert [rates.wait("lab") for _ in range(60)] == [0.0] * 60
    assert rates.wait("lab") > 0.0


async def _hello(scope, receive, send) -> None:
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}
    )
    await send({"type": "http.response.body", "body": b"ok"})


class Hasty(BoundedConnection):
    header_seconds = 0.05


async def _talk(protocol: type[BoundedConnection], *sent: bytes) -> bytes:
    """What a server answers until it closes the connection."""
    config = uvicorn.Config(_hello, log_config=None, ws="none", lifespan="off")
    config.load()
    state = ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: protocol(config, state, {}), "127.0.0.1", 0, family=socket.AF_INET
    )
    port = server.sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for piece in sent:
        writer.write(piece)
        await writer.drain()
    got = await reader.read()
    writer.close()
    server.close()
    return got


REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n"


@pytest.mark.parametrize("sent", [(), (REQUEST,), (REQUEST + b"\r\n", b"GET / HT")])
def test_a_connection_whose_headers_do_not_end_is_closed(sent: tuple[bytes, ...]) -> None:
    answer = asyncio.run(_talk(Hasty, *sent))
    assert answer.count(b"200 OK") == sum(piece.endswith(b"\r\n\r\n") for piece in sent)


def test_headers_have_a_bound() -> None:
    header = b"X-Much: " + b"x" * (HEADER_BYTES // 2) + b"\r\n"
    answer = asyncio.run(_talk(BoundedConnection, REQUEST, header, header, b"\r\n"))
    assert answer.startswith(b"HTTP/1.1 400 ")
    closing = b"Connection: close\r\n"
    answer = asyncio.run(_talk(BoundedConnection, REQUEST, header, closing, b"\r\n"))
    assert answer.startswith(b"HTTP/1.1 200 ")
