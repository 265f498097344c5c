"""Ports for our servers: no other process gets them before the server listens."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from tests.support import ports


def test_two_runs_with_the_same_start_get_different_ports() -> None:
    ours = [ports.free_port() for _ in range(3)]
    script = (
        "from tests.support import ports;"
        f"ports.candidates = iter(range({ours[0]} - ports.FIRST, 1 << 20));"
        "print(ports.free_port())"
    )
    theirs = int(
        subprocess.run([sys.executable, "-c", script], check=True, capture_output=True).stdout
    )
    assert theirs not in ours
    assert ports.FIRST <= theirs < ports.LAST


def test_a_port_in_use_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    port = ports.free_port()
    monkeypatch.setattr(ports, "candidates", iter(range(port - ports.FIRST, 1 << 20)))
    with socket.create_server(("127.0.0.1", port)):
        assert ports.free_port() != port
