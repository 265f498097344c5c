"""A TCP relay on 127.0.0.1 with a round trip and a narrow uplink; the kernel may have no netem.

    python -m benchmarks.shaped.relay PORT ROUND_TRIP_MS UP_MBIT_PER_SECOND

It passes connections on to PORT. Prints one line of JSON with its own port, and its totals (JSON)
when its standard input ends.

Each way takes half of the round trip. A new connection sends nothing for one round trip, the time
of TCP's handshake; TLS would take one or two more. All connections share one uplink: bytes leave in
the order in which they arrive, at the given rate, and each connection has one small piece in it at
a time, so that they share it evenly. The way down has no limit. Slow start and lost packets are not
modelled. A piece arrives up to about a millisecond late: timers are no finer.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import socket
import struct
import sys
from collections import deque
from dataclasses import asdict, dataclass, field
from typing import cast

PIECE_SECONDS = 0.004
"""A piece is what the line sends in this time: small, so that a short request need not wait."""
LEAST_PIECE, MOST_PIECE = 1_500, 262_144
BUFFER_BYTES = 65_536
"""What the system keeps of a connection before the relay reads it: like a router, not megabytes."""
AHEAD_SECONDS = 0.02
"""A connection stops reading while its piece leaves later than this. Without a reserve, the line
would idle whenever a timer is late."""


@dataclass(slots=True)
class Line:
    """One direction, shared by all connections: when a piece has left, and bytes so far."""

    bytes_per_second: float = math.inf
    free_at: float = 0.0
    passed: int = 0

    def leaves(self, count: int, ready_at: float) -> float:
        """The time at which ``count`` bytes, ready at ``ready_at``, have left the line."""
        self.passed += count
        self.free_at = max(self.free_at, ready_at) + count / self.bytes_per_second
        return self.free_at

    @property
    def piece(self) -> int:
        """Bytes to read at once."""
        size = min(self.bytes_per_second * PIECE_SECONDS, MOST_PIECE)
        return max(int(size), LEAST_PIECE)


@dataclass(slots=True)
class Totals:
    """Bytes of both directions, and connections."""

    up: int = 0
    down: int = 0
    connections: int = 0


@dataclass(slots=True)
class Shape:
    """The lines that all connections share, and the delay of each way in seconds. ``ends_open``:
    ends of connections that are not closed yet."""

    up: Line
    down: Line = field(default_factory=Line)
    delay: float = 0.0
    connections: int = 0
    ends_open: int = 0

    @classmethod
    def of(cls, round_trip_ms: float, mbit_per_second: float) -> Shape:
        return cls(Line(mbit_per_second * 1e6 / 8), delay=round_trip_ms / 2_000)

    @property
    def totals(self) -> Totals:
        return Totals(self.up.passed, self.down.passed, self.connections)


class End(asyncio.BufferedProtocol):
    """One end of a connection: what it receives leaves by ``line``, and a delay later it is
    written at the other end. ``opens_at``: before that time nothing leaves. It reads nothing until
    it is joined with its other end."""

    def __init__(self, shape: Shape, line: Line, opens_at: float = 0.0) -> None:
        self.other: End | None = None
        self._shape, self._line, self._opens_at = shape, line, opens_at
        self._buffer = bytearray(line.piece)
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._travelling: deque[tuple[float, bytes]] = deque()  # arrival; b"": the end
        self._timer: asyncio.TimerHandle | None = None
        self._stops = 1  # reasons not to read now
        self._heard_end = self._passed_end = False

    # --- what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._shape.ends_open += 1
        if self._stops:
            self._transport.pause_reading()

    def get_buffer(self, sizehint: int) -> bytearray:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        now = self._loop.time()
        leaves = self._line.leaves(nbytes, max(now, self._opens_at))
        self._send(leaves + self._shape.delay, bytes(memoryview(self._buffer)[:nbytes]))
        if leaves > now + AHEAD_SECONDS:
            self.stop()
            self._loop.call_at(leaves - AHEAD_SECONDS / 2, self.go_on)

    def eof_received(self) -> bool:
        self._heard_end = True
        self._send(max(self._last_arrival(), self._loop.time() + self._shape.delay), b"")
        return not self._passed_end  # True: the other direction stays open

    def connection_lost(self, error: Exception | None) -> None:
        """A reset closes the other end at once; after an orderly end, what travels arrives."""
        self._transport = None
        self._shape.ends_open -= 1
        if error is not None and self.other is not None:
            self.other.abort()

    def pause_writing(self) -> None:
        if self.other is not None:
            self.other.stop()

    def resume_writing(self) -> None:
        if self.other is not None:
            self.other.go_on()

    # --- what the other end calls

    def stop(self) -> None:
        self._stops += 1
        if self._stops == 1 and self._transport is not None:
            self._transport.pause_reading()

    def go_on(self) -> None:
        self._stops -= 1
        if self._stops == 0 and self._transport is not None:
            self._transport.resume_reading()

    def write(self, data: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if data:
            self._transport.write(data)
            return
        self._passed_end = True
        self._transport.write_eof()
        if self._heard_end:
            self._transport.close()

    def abort(self) -> None:
        """Reset the connection; a plain close would look like an orderly end."""
        if self._transport is not None:
            sock = self._transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()

    # --- travelling

    def _last_arrival(self) -> float:
        return self._travelling[-1][0] if self._travelling else 0.0

    def _send(self, arrives: float, data: bytes) -> None:
        self._travelling.append((arrives, data))
        if self._timer is None:
            self._arrive()

    def _arrive(self) -> None:
        """Write what has arrived at the other end, then wait for the next piece."""
        self._timer = None
        while self._travelling and self._travelling[0][0] <= self._loop.time():
            assert self.other is not None
            self.other.write(self._travelling.popleft()[1])
        if self._travelling:
            self._timer = self._loop.call_at(self._travelling[0][0], self._arrive)


class Accepted(End):
    """The end at the client: connects to ``port`` as soon as it is accepted."""

    def __init__(self, shape: Shape, port: int) -> None:
        super().__init__(shape, shape.up, asyncio.get_running_loop().time() + 2 * shape.delay)
        self._port = port
        self._connecting: asyncio.Task[None] | None = None
        shape.connections += 1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._connecting = self._loop.create_task(self._connect())

    async def _connect(self) -> None:
        shape = self._shape
        try:
            _, far = await self._loop.create_connection(
                lambda: End(shape, shape.down), "127.0.0.1", self._port
            )
        except OSError:
            self.abort()
            return
        self.other, far.other = far, self
        self.go_on()
        far.go_on()


async def serve(shape: Shape, port: int) -> asyncio.Server:
    """A relay to ``port`` on a free port of 127.0.0.1."""
    loop = asyncio.get_running_loop()
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)  # of those it accepts
    return await loop.create_server(lambda: Accepted(shape, port), sock=listener)


async def main() -> None:
    port, round_trip_ms, mbit = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
    shape = Shape.of(round_trip_ms, mbit)
    async with await serve(shape, port) as server:
        print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
        await asyncio.to_thread(sys.stdin.buffer.read)
        print(json.dumps(asdict(shape.totals)), flush=True)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
