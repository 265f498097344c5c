"""The only module that imports redis (for Redis or Valkey): connections, scripts, our errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool

from clients.redis_refusals import refusal_of
from core.errors import ServiceAway, ServiceRefuses
from core.redis_address import RedisAddress, parse

CONNECTIONS_MAX = 16
"""A command takes 50 microseconds, so 16 connections serve hundreds of threads of a process."""


SENTINEL_SECONDS = 0.5
"""The least time for one sentinel. They are asked one after the other."""
REDIS_ERRORS = (redis.RedisError,)
"""What a command of kombu may raise beside its own errors and OSError."""
POP = "BRPOP"


class RedisServer:
    """One database of a server, shared by all threads of a process. With a sentinel's URL it is the
    primary's, wherever that is now. ``name`` begins the sentences of its errors."""

    def __init__(
        self, url: str, timeout_seconds: float = 5.0, retries: int = 3, name: str = "Redis"
    ) -> None:
        self.url = url
        self.name = name
        address = parse(url)
        self._speaks_tls = address.tls is not None
        self._client = redis.Redis(connection_pool=_pool(address, timeout_seconds, retries))

    def script(self, text: str) -> RedisScript:
        """A Lua script, run by its hash and loaded again if the server has dropped it."""
        return RedisScript(self._client, text, self._error)

    def ping(self) -> None:
        """Raises ServiceAway if the server does not answer."""
        try:
            self._client.ping()
        except redis.RedisError as error:
            raise self._error(error) from error

    def write(self, key: str) -> None:
        """Write ``key`` for a second. Raises ServiceAway if the server refuses to store anything:
        it is full, read-only, or does not let us."""
        try:
            self._client.set(key, 1, px=1_000)
        except redis.RedisError as error:
            raise self._error(error) from error

    def put(self, key: str, text: str, seconds: int) -> None:
        """Keep ``text`` under ``key`` for so long. Raises ServiceAway."""
        try:
            self._client.set(key, text, ex=seconds)
        except redis.RedisError as error:
            raise self._error(error) from error

    def get(self, key: str) -> str | None:
        """The text under ``key``, or None. Raises ServiceAway."""
        try:
            kept = self._client.get(key)
        except redis.RedisError as error:
            raise self._error(error) from error
        return kept.decode() if isinstance(kept, bytes) else kept

    def try_out(self, commands: Sequence[Sequence[str | int]], patterns: Sequence[str]) -> None:
        """Run ``commands`` in one transaction, subscribe to ``patterns``, run a script. Raises
        ServiceAway: the server does not answer, or refuses one of them."""
        try:
            with self._client.pipeline(transaction=True) as pipeline:
                run: Any = pipeline.execute_command
                for command in commands:
                    run(*command)
                pipeline.execute()
            self._client.eval("return 1", 0)
            client: Any = self._client
            with client.pubsub() as subscriber:
                subscriber.psubscribe(*patterns)
                for _ in patterns:
                    subscriber.parse_response()
        except redis.RedisError as error:
            raise self._error(error) from error

    def unblock(self, name: str) -> None:
        """Make blocking commands on connections called ``name`` return now, without a result. A pop
        that ends this way took nothing; if its connection were closed, it might have."""
        try:
            for client in self._client.client_list():
                if client["name"] == name and "b" in client["flags"]:
                    self._client.client_unblock(int(client["id"]))
        except redis.RedisError as error:
            raise self._error(error) from error

    def shut_down(self) -> None:
        """Ask the server to sync its log and exit now; it handles a signal up to 0.1 s later.
        Raises ServiceAway if it refuses. Use a RedisServer with ``retries=0``."""
        try:
            self._client.shutdown()
        except redis.RedisError as error:
            raise self._error(error) from error

    def _error(self, error: redis.RedisError) -> ServiceAway:
        ours = unavailable(error, self.name)
        if self._speaks_tls and isinstance(error, redis.TimeoutError):
            return ServiceAway(f"{ours}; a server without TLS needs redis:// instead of rediss://")
        return ours

    def close(self) -> None:
        """Close all connections. The next command opens new ones."""
        self._client.close()
        self._client.connection_pool.disconnect()


class RedisScript:
    """A Lua script bound to a server.

    A call is repeated after a broken connection, and the server may have run it already: the
    script must be idempotent.
    """

    def __init__(
        self, client: redis.Redis, text: str, error: Callable[[redis.RedisError], ServiceAway]
    ) -> None:
        self._run = client.register_script(text)
        self._error = error

    def __call__(self, keys: Sequence[str], args: Sequence[str | int]) -> Any:
        """The script's reply: int, str or a list of them. Raises ServiceAway."""
        try:
            return self._run(keys=list(keys), args=list(args))
        except redis.RedisError as error:
            raise self._error(error) from error


class PoppingClient(redis.Redis):
    """A client of kombu whose pops pass over what ``is_kept`` says it has put aside."""

    def __init__(self, is_kept: Callable[[str, bytes], bool], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._is_kept = is_kept

    def parse_response(self, connection: Any, command_name: str, **options: Any) -> Any:
        popped = super().parse_response(connection, command_name, **options)  # type: ignore[no-untyped-call]
        if command_name == POP and popped and self._is_kept(popped[0].decode(), popped[1]):
            return None
        return popped


class _SentinelPool(SentinelConnectionPool, redis.BlockingConnectionPool):
    """Connections to the primary that the sentinels name; waits for a free one like ours."""


def _pool(
    address: RedisAddress, timeout_seconds: float, retries: int
) -> redis.BlockingConnectionPool:
    place: dict[str, Any] = {
        "socket_timeout": timeout_seconds,
        "socket_connect_timeout": timeout_seconds,
        **(address.tls.options() if address.tls else {}),
    }
    user = {"username": address.username, "password": address.password}
    retry = Retry(ExponentialWithJitterBackoff(base=0.02, cap=0.3), retries)
    shared = {
        **user,
        "db": address.database,
        "decode_responses": True,
        "max_connections": CONNECTIONS_MAX,
        "timeout": timeout_seconds,
        "retry": retry,
    }
    pool: Any = redis.BlockingConnectionPool
    if address.master_name is not None:
        guide = {"username": address.sentinel_username, "password": address.sentinel_password}
        encrypted = address.tls is not None
        share = max(timeout_seconds / len(address.hosts), SENTINEL_SECONDS)
        waits = {"socket_timeout": share, "socket_connect_timeout": share}
        guided = {**place, **waits, **guide, "ssl": encrypted}
        sentinels = Sentinel(address.hosts, sentinel_kwargs=guided)  # type: ignore[no-untyped-call]
        pool = partial(_SentinelPool, address.master_name, sentinels, ssl=encrypted, **place)
    elif address.path is not None:
        kind: Any = redis.UnixDomainSocketConnection
        pool = partial(pool, connection_class=kind, path=address.path)
        shared["socket_timeout"] = timeout_seconds
    else:
        kind = redis.Connection if address.tls is None else redis.SSLConnection
        host, port = address.hosts[0]
        pool = partial(pool, connection_class=kind, host=host, port=port, **place)
    made: redis.BlockingConnectionPool = pool(**shared)
    return made


def unavailable(error: BaseException, server: str = "Redis") -> ServiceAway:
    """Our error for one of redis or kombu. ``server``: how its sentence begins. A server that is
    full, read-only or misused counts as unavailable, like one that is down."""
    refusal = refusal_of(error)
    if refusal is not None:
        return ServiceRefuses(f"{server} {refusal.says}", refusal.cure, refusal.passes)
    if isinstance(error, redis.ResponseError):
        return ServiceRefuses(f"{server} refuses: {error}")
    return ServiceAway(f"{server} does not answer: {error}")
