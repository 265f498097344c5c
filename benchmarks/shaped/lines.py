"""Relays as processes of their own, and what the relay itself can pass and costs."""

from __future__ import annotations

import json
import math
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from benchmarks.pipeline.measure import cpu_of
from benchmarks.shaped.relay import Totals

PROBE_BYTES = 1_000_000_000
BLOCK = bytes(1 << 18)


@dataclass(slots=True)
class Relayed:
    """A relay at work: the URL that leads through it; ``totals`` and CPU seconds when it ended."""

    url: str
    totals: Totals
    cpu: float = 0.0


@contextmanager
def relayed(url: str, round_trip_ms: float, mbit_per_second: float) -> Iterator[Relayed]:
    """A relay to the server at ``url``, until the block ends."""
    parts = urlsplit(url)
    argv = [sys.executable, "-m", "benchmarks.shaped.relay", str(parts.port)]
    argv += [str(round_trip_ms), str(mbit_per_second)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        port = json.loads(process.stdout.readline())["port"]
        relay = Relayed(urlunsplit(parts._replace(netloc=f"127.0.0.1:{port}")), Totals())
        try:
            yield relay
        finally:
            relay.cpu = cpu_of(process.pid)
            process.stdin.close()
            relay.totals = Totals(**json.loads(process.stdout.readline()))


@dataclass(frozen=True, slots=True)
class Ceiling:
    """What a relay passes without limits, and its CPU seconds for each gigabyte."""

    mbit_per_second: float
    cpu_per_gigabyte: float


def ceiling() -> Ceiling:
    """Send a gigabyte over one connection through a relay without delay or limit."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        sink = threading.Thread(target=_drain, args=(server,))
        sink.start()
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        with relayed(address, 0.0, math.inf) as relay:
            begun = time.monotonic()
            with socket.create_connection(("127.0.0.1", urlsplit(relay.url).port or 0)) as source:
                for _ in range(PROBE_BYTES // len(BLOCK)):
                    source.sendall(BLOCK)
                source.shutdown(socket.SHUT_WR)
                sink.join()
            seconds = time.monotonic() - begun
    gigabytes = relay.totals.up / 1e9
    return Ceiling(gigabytes * 8_000 / seconds, relay.cpu / gigabytes)


def _drain(server: socket.socket) -> None:
    connection, _ = server.accept()
    buffer = bytearray(len(BLOCK))
    with connection:
        while connection.recv_into(buffer):
            pass
