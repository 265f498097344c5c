"""The only module that imports redis (for Redis or Valkey): connections, scripts, our errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry

from core.errors import ServiceAway

CONNECTIONS_MAX = 16
"""A command takes 50 microseconds, so 16 connections serve hundreds of threads of a process."""


class RedisServer:
    """One server or cluster-side database, shared by all threads of a process."""

    def __init__(self, url: str, timeout_seconds: float = 5.0, retries: int = 3) -> None:
        self.url = url
        self._client = redis.Redis(connection_pool=_pool(url, timeout_seconds, retries))

    def script(self, text: str) -> RedisScript:
        """A Lua script, run by its hash and loaded again if the server has dropped it."""
        return RedisScript(self._client, text)

    def ping(self) -> None:
        """Raises ServiceAway if the server does not answer."""
        try:
            self._client.ping()
        except redis.RedisError as error:
            raise _unavailable(error) from error

    def unblock(self, name: str) -> None:
        """Make blocking commands on connections called ``name`` return now, without a result. A pop
        that ends this way took nothing; if its connection were closed, it might have."""
        try:
            for client in self._client.client_list():
                if client["name"] == name and "b" in client["flags"]:
                    self._client.client_unblock(int(client["id"]))
        except redis.RedisError as error:
            raise _unavailable(error) from error

    def shut_down(self) -> None:
        """Ask the server to sync its log and exit now; it handles a signal up to 0.1 s later.
        Raises ServiceAway if it refuses. Use a RedisServer with ``retries=0``."""
        try:
            self._client.shutdown()
        except redis.RedisError as error:
            raise _unavailable(error) from error

    def close(self) -> None:
        """Close all connections. The next command opens new ones."""
        self._client.close()
        self._client.connection_pool.disconnect()


class RedisScript:
    """A Lua script bound to a server.

    A call is repeated after a broken connection, and the server may have run it already: the
    script must be idempotent.
    """

    def __init__(self, client: redis.Redis, text: str) -> None:
        self._run = client.register_script(text)

    def __call__(self, keys: Sequence[str], args: Sequence[str | int]) -> Any:
        """The script's reply: int, str or a list of them. Raises ServiceAway."""
        try:
            return self._run(keys=list(keys), args=list(args))
        except redis.RedisError as error:
            raise _unavailable(error) from error


def _pool(url: str, timeout_seconds: float, retries: int) -> redis.BlockingConnectionPool:
    return redis.BlockingConnectionPool.from_url(
        url,
        decode_responses=True,
        max_connections=CONNECTIONS_MAX,
        timeout=timeout_seconds,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=timeout_seconds,
        retry=Retry(ExponentialWithJitterBackoff(base=0.02, cap=0.3), retries),
    )


def _unavailable(error: redis.RedisError) -> ServiceAway:
    """A server that is full, read-only or misused counts as unavailable, like one that is down."""
    problem = "refuses" if isinstance(error, redis.ResponseError) else "does not answer"
    return ServiceAway(f"Redis {problem}: {error}")
