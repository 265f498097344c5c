"""The relay that makes a slow and distant line: bytes, their order, ends and resets. No speed."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest

from benchmarks.shaped import relay
from benchmarks.shaped.lines import relayed
from benchmarks.shaped.relay import Line, Shape

BODY = bytes(range(256)) * 4_000  # many pieces at every rate
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


# --- the line, with made-up times


def test_pieces_leave_one_after_the_other() -> None:
    line = Line(bytes_per_second=1_000)
    assert [line.leaves(500, ready_at=10.0), line.leaves(250, ready_at=10.0)] == [10.5, 10.75]


def test_an_idle_line_starts_when_a_piece_is_ready() -> None:
    line = Line(bytes_per_second=1_000)
    line.leaves(500, ready_at=10.0)
    assert (line.leaves(500, ready_at=20.0), line.passed) == (20.5, 1_000)


def test_a_line_without_a_limit_takes_no_time() -> None:
    assert Line().leaves(10**9, ready_at=3.0) == 3.0


@pytest.mark.parametrize(("mbit", "piece"), [(0.1, 1_500), (50, 25_000), (10_000, 262_144)])
def test_a_piece_is_small_on_a_slow_line(mbit: float, piece: int) -> None:
    assert Shape.of(0, mbit).up.piece == piece


def test_a_round_trip_is_shared_by_both_ways() -> None:
    assert Shape.of(100, 8) == Shape(Line(1e6), Line(), delay=0.05)


# --- the relay, over sockets


@asynccontextmanager
async def _served(shape: Shape, handler: Handler) -> AsyncIterator[int]:
    """The port of a relay to a server whose connections ``handler`` takes. At the end, every
    connection must close by itself."""
    at_work = 0

    async def counted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal at_work
        at_work += 1
        await handler(reader, writer)
        writer.close()
        at_work -= 1

    server = await asyncio.start_server(counted, "127.0.0.1", 0)
    async with server, await relay.serve(shape, server.sockets[0].getsockname()[1]) as between:
        yield between.sockets[0].getsockname()[1]
        while shape.ends_open or at_work:
            await asyncio.sleep(0.001)


async def _connected(port: int) -> Streams:
    return await asyncio.open_connection("127.0.0.1", port)


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send back what was received, after its end."""
    writer.write(await reader.read())


async def _asked(port: int, body: bytes) -> bytes:
    reader, writer = await _connected(port)
    try:
        writer.write(body)
        writer.write_eof()
        return await reader.read()
    finally:
        writer.transport.abort()


@pytest.mark.parametrize(("round_trip_ms", "mbit"), [(0, 1e9), (20, 500), (20, 100)])
def test_every_byte_arrives_in_order_both_ways(round_trip_ms: float, mbit: float) -> None:
    shape = Shape.of(round_trip_ms, mbit)

    async def check() -> list[bytes]:
        async with _served(shape, _echo) as port:
            return await asyncio.gather(*(_asked(port, BODY + bytes([n])) for n in range(4)))

    assert asyncio.run(check()) == [BODY + bytes([n]) for n in range(4)]
    count = 4 * (len(BODY) + 1)
    assert (shape.totals.up, shape.totals.down, shape.totals.connections) == (count, count, 4)


def test_nothing_passes_before_the_handshake_and_half_a_round_trip() -> None:
    """The relay may be late, and never early."""
    shape = Shape.of(200, 1e9)

    async def check() -> float:
        loop, arrived = asyncio.get_running_loop(), []

        async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readexactly(1)
            arrived.append(loop.time())
            await _echo(reader, writer)

        async with _served(shape, note) as port:
            begun = loop.time()
            await _asked(port, b"1")
            return arrived[0] - begun

    assert asyncio.run(check()) >= 0.3


def test_a_kept_connection_pays_no_second_handshake() -> None:
    """Two requests take two round trips and one for the handshake at least; the relay counts one
    connection."""
    shape = Shape.of(20, 1e9)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1):
            writer.write(data.upper())

    async def check() -> bytes:
        async with _served(shape, answer) as port:
            reader, writer = await _connected(port)
            heard = b""
            for word in (b"a", b"b"):
                writer.write(word)
                heard += await reader.readexactly(1)
            writer.close()
            await writer.wait_closed()
            return heard

    assert asyncio.run(check()) == b"AB"
    assert shape.totals == relay.Totals(up=2, down=2, connections=1)


def test_what_was_sent_before_the_end_still_arrives() -> None:
    """The server hangs up at once, and its reply is not lost on the way."""

    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(BODY)

    async def check() -> bytes:
        async with _served(Shape.of(100, 1e9), reply) as port:
            return await _asked(port, b"?")

    assert asyncio.run(check()) == BODY


def test_a_reset_at_the_server_resets_the_client() -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)
        now = struct.pack("ii", 1, 0)  # else the kernel ends the connection in order
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, now)
        writer.transport.abort()

    async def check() -> None:
        async with _served(Shape.of(0, 1e9), reset) as port:
            reader, writer = await _connected(port)
            writer.write(b"12")
            try:
                await reader.read()
            finally:
                writer.transport.abort()

    with pytest.raises(ConnectionResetError):
        asyncio.run(check())


def test_a_server_that_is_not_there_is_a_reset() -> None:
    async def check() -> bytes:
        async with _served(Shape.of(0, 1e9), _echo) as port:
            free = port
        async with await relay.serve(Shape.of(0, 1e9), free) as between:
            return await _asked(between.sockets[0].getsockname()[1], b"1")

    with pytest.raises(ConnectionError):
        asyncio.run(check())


def test_a_relay_of_its_own_process_reports_its_totals() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/v1"
        with relayed(url, 0, 1_000) as line:
            parts = urlsplit(line.url)
            with socket.create_connection(("127.0.0.1", parts.port or 0)) as client:
                client.sendall(b"four")
                client.shutdown(socket.SHUT_WR)
                connection, _ = server.accept()
                with connection, connection.makefile("rb") as received:
                    heard = received.read()
                    connection.sendall(b"three")
                with client.makefile("rb") as received:
                    answer = received.read()
    assert (parts.path, heard, answer) == ("/v1", b"four", b"three")
    assert line.totals == relay.Totals(up=4, down=5, connections=1)
