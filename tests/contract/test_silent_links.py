"""What the kernel is told about connections on which nothing travels for long."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from clients.provider.client import Provider
from clients.provider.transport import IDLE_SECONDS
from core.settings import load
from tests.support.fake_endpoint import Answer, FakeEndpoint

TABLE = Path("/proc/net/tcp")
ESTABLISHED, PROBING = "01", "02"
TICKS = 100  # of a second, in the kernel's table
REPLY = {"choices": [{"index": 0, "message": {"content": "x"}, "finish_reason": "stop"}]}


def probes_to(port: int) -> list[float]:
    """Seconds until the next keepalive probe of each connection of ours to ``port``."""
    rows = [line.split() for line in TABLE.read_text().splitlines()[1:]]
    open_ones = [row for row in rows if row[2].endswith(f":{port:04X}") and row[3] == ESTABLISHED]
    timers = [row[5].split(":") for row in open_ones]
    return [int(when, 16) / TICKS for kind, when in timers if kind == PROBING]


@pytest.mark.skipif(not TABLE.exists(), reason="reads the kernel's table of connections")
def test_a_connection_to_the_provider_is_probed_while_nothing_travels() -> None:
    with FakeEndpoint(Answer(body=REPLY)) as endpoint:
        provider = Provider(load(base_url=endpoint.url, api_key="k"), max_connections=1)
        began = time.monotonic()
        provider.chat({"model": "m", "messages": []})
        port = int(endpoint.url.rpartition(":")[2].partition("/")[0])
        (seconds,) = probes_to(port)
        assert IDLE_SECONDS - (time.monotonic() - began) - 1.0 <= seconds <= IDLE_SECONDS
        provider.close()
