"""Flower without a password answers only to names of this machine, and to no example password."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import workers
from workers.flower_hosts import allowed

CONFIGURATION = Path(workers.__file__).with_name("flower.py")
SERVE = """
import asyncio, sys
from tornado.httpclient import AsyncHTTPClient
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.options import options
import flower.command  # defines the options
from flower.app import Flower
from workers.app import app
options.parse_config_file(sys.argv[1], final=False)
options.basic_auth = sys.argv[2].split() or []
async def main():
    sockets = bind_sockets(0, "127.0.0.1")
    options.port = sockets[0].getsockname()[1]
    HTTPServer(Flower(capp=app, options=options)).add_sockets(sockets)
    for name in ("127.0.0.1", "localhost", "dash.internal", "rebound.example"):
        headers = {"Host": f"{name}:{options.port}"}
        url = f"http://127.0.0.1:{options.port}/healthcheck"
        reply = await AsyncHTTPClient().fetch(url, headers=headers, raise_error=False)
        print(name, reply.code, reply.body.decode().split(",")[0])
asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost:5555", True),
        ("LOCALHOST:5555", True),
        ("127.0.0.1:5555", True),
        ("[::1]:5555", True),
        ("dash.internal", True),
        ("dash.internal:8080", True),
        ("tunnel:8080", True),
        ("tunnel:8081", False),
        ("localhost:8080", False),
        ("localhost", False),
        ("rebound.example:5555", False),
        ("localhost.rebound.example:5555", False),
        ("127.0.0.1.rebound.example:5555", False),
        ("192.168.1.7:5555", False),
        ("", False),
    ],
)
def test_only_names_of_this_machine_and_named_ones_are_allowed(host: str, expected: bool) -> None:
    assert allowed(host, 5555, ("Dash.internal", "tunnel:8080")) is expected


def test_a_browser_leaves_out_the_default_port() -> None:
    assert allowed("localhost", 80, ())


@pytest.mark.parametrize(("password", "code"), [("", 403), ("me:a-long-word", 200)])
def test_flower_answers_a_strange_name_only_with_a_password(password: str, code: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SERVE, str(CONFIGURATION), password],
        env=os.environ | {"OVERSTORY_FLOWER_HOSTS": "dash.internal"},
        capture_output=True,
        text=True,
    )
    told = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    assert list(told) == ["127.0.0.1", "localhost", "dash.internal", "rebound.example"], done.stderr
    assert all(told[name].startswith("200") for name in list(told)[:3])
    assert told["rebound.example"].startswith(str(code))
    if code == 403:
        assert "Flower has no password" in told["rebound.example"]


def test_the_password_of_the_example_is_refused() -> None:
    words = ["-m", "celery", "-A", "workers.app", "flower", f"--conf={CONFIGURATION}"]
    done = subprocess.run(
        [sys.executable, *words],
        env=os.environ | {"FLOWER_BASIC_AUTH": "overstory:change-me-flower"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    [line] = done.stderr.strip().splitlines()[-1:]
    assert "set FLOWER_PASSWORD in .env" in line
