"""Whether an endpoint accepts connections."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from clients.provider.reach import is_reached
from tests.support.ports import free_port


@pytest.fixture
def listening() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_an_endpoint_that_accepts_connections_is_reached(listening: int) -> None:
    assert is_reached(f"http://127.0.0.1:{listening}/v1")
    assert is_reached(f"https://user:word@127.0.0.1:{listening}")


@pytest.mark.parametrize("url", ["", "http://", "http://127.0.0.1:port/v1", "ftp://127.0.0.1/v1"])
def test_an_invalid_address_is_not_reached(url: str) -> None:
    assert not is_reached(url)


def test_a_port_without_a_listener_is_not_reached() -> None:
    assert not is_reached(f"http://127.0.0.1:{free_port()}/v1")
