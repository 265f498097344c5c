"""Whether broker and limiter take what Overstory needs: each command is tried, on keys of ours.

A server may answer and still refuse: a replica, a cluster, a user with few rights, a full memory.
``check`` is what commands, workers, the reconciler and the doctor ask; the sentences of its errors
are in clients/redis_refusals.py.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable

import structlog

from clients import dead_letters
from clients.redis import RedisServer
from core.errors import ServiceAway, ServiceRefuses, WrongUsage
from core.redis_address import CUT, TLS_FILES, RedisAddress, has_cut_password
from core.settings import Settings
from core.stages import STAGES
from workers.endpoints import broker_address, limiter_address

log = structlog.get_logger()

CHECK_SECONDS = 2.0
AGAIN_SECONDS = 1.0
PROBE_SECONDS = 1.0
PROBE_MS = 1_000
BROKER, LIMITER = "the broker at OVERSTORY_BROKER_URL", "the limiter at OVERSTORY_LIMITER_URL"
EMBEDDED = "the embedded Valkey"


def check(settings: Settings) -> None:
    """Raises WrongUsage for a URL that cannot be read, ServiceAway if a server does not answer,
    ServiceRefuses if it answers and refuses."""
    for name, url in _urls(settings):
        if has_cut_password(url):
            raise WrongUsage(f"{name}: {CUT}")
    check_broker(settings)
    check_limiter(settings)


def _check_files(name: str, address: RedisAddress) -> None:
    """Libraries name no file when a certificate cannot be read."""
    for option, value in (address.tls.options() if address.tls else {}).items():
        if option in TLS_FILES and not os.access(str(value), os.R_OK):
            raise WrongUsage(f"{name}: {option}={value} is not a file that can be read")


def check_limiter(settings: Settings) -> None:
    """``check`` for the limiter alone."""
    address = limiter_address(settings)
    _check_files("OVERSTORY_LIMITER_URL", address)
    server = RedisServer(address.url(), CHECK_SECONDS, 0, _limiter(settings))
    _try(server, _limiter_commands(), ())


def check_broker(settings: Settings) -> None:
    """``check`` for the broker alone."""
    name = EMBEDDED if settings.broker_url is None else BROKER
    address = broker_address(settings)
    _check_files("OVERSTORY_BROKER_URL", address)
    server = RedisServer(address.url(), CHECK_SECONDS, 0, name)
    _try(server, _broker_commands(), (f"/{address.database}.overstory.*",))


def passing_trouble(settings: Settings) -> ServiceAway | None:
    """What keeps broker or limiter from working now and may pass; None if nothing does, or if both
    are our own. Raises like ``check`` for what never passes with these settings."""
    if settings.broker_url is None and settings.limiter_url is None:
        return None
    try:
        if settings.broker_url is None:
            check_limiter(settings)
        else:
            check(settings)
    except ServiceRefuses as error:
        if not error.passes:
            raise
        return error
    except ServiceAway as error:
        return error
    return None


def await_broker(settings: Settings, pause: Callable[[float], object] = time.sleep) -> None:
    """Wait while broker or limiter refuse in a way that passes, and say so in the log.

    Returns when they take what is needed, or do not answer: Celery itself waits for that. Raises
    like ``check`` for what never passes.
    """
    told = ""
    while (trouble := passing_trouble(settings)) is not None:
        if str(trouble) != told:
            told = str(trouble)
            log.warning("broker.waits", error=told)
        if not isinstance(trouble, ServiceRefuses):
            return
        pause(AGAIN_SECONDS)


class BrokerProbe:
    """Tells again and again whether broker and limiter take what is written; for a display."""

    def __init__(self, settings: Settings) -> None:
        name = EMBEDDED if settings.broker_url is None else BROKER
        self._servers = [RedisServer(broker_address(settings).url(), PROBE_SECONDS, 0, name)]
        if settings.limiter_url:  # else it is on the same server
            address = limiter_address(settings)
            self._servers.append(RedisServer(address.url(), PROBE_SECONDS, 0, LIMITER))

    def trouble(self) -> str:
        """Why one of them takes nothing now, and what helps; empty if both do."""
        for server in self._servers:
            try:
                server.write(f"overstory:limiter:{_probe_key()}")
            except ServiceAway as error:
                return str(error)
        return ""

    def close(self) -> None:
        for server in self._servers:
            server.close()


def _try(
    server: RedisServer, commands: list[tuple[str | int, ...]], patterns: tuple[str, ...]
) -> None:
    try:
        server.try_out(commands, patterns)
    finally:
        server.close()


def _urls(settings: Settings) -> list[tuple[str, str]]:
    named = (
        ("OVERSTORY_BROKER_URL", settings.broker_url),
        ("OVERSTORY_LIMITER_URL", settings.limiter_url),
    )
    return [(name, url) for name, url in named if url]


def _limiter(settings: Settings) -> str:
    if settings.limiter_url:
        return LIMITER
    if settings.broker_url is None:
        return EMBEDDED
    return "the limiter, in database 1 of the server of OVERSTORY_BROKER_URL,"


def _probe_key() -> str:
    return f"overstory:probe:{secrets.token_hex(8)}"


def _broker_commands() -> list[tuple[str | int, ...]]:
    """What kombu, Celery's results and the dead letters do, without effect on what is stored."""
    key = _probe_key()
    changes_nothing: list[tuple[str | int, ...]] = [
        command
        for name in (stage.name for stage in STAGES)
        for command in (("LLEN", name), ("LTRIM", name, 0, -1))
    ]
    bindings: list[tuple[str | int, ...]] = [
        command
        for name in (*(stage.name for stage in STAGES), "overstory.pidbox")
        for command in (
            ("SREM", f"_kombu.binding.{name}", key),
            ("SMEMBERS", f"_kombu.binding.{name}"),
        )
    ]
    return [
        *changes_nothing,
        *bindings,
        ("LTRIM", dead_letters.KEY, 0, -1),
        ("LPUSH", key, "x"),
        ("BRPOP", key, 1),
        ("SADD", key, "x"),
        ("DEL", key),
        ("SET", f"celery-task-meta-{key}", 1, "PX", PROBE_MS),
        ("GET", f"celery-task-meta-{key}"),
        ("PUBLISH", f"celery-task-meta-{key}", "x"),
    ]


def _limiter_commands() -> list[tuple[str | int, ...]]:
    """Kinds of commands that limiter.lua runs; a script has the rights of its caller."""
    key = f"overstory:limiter:{_probe_key()}"
    return [
        ("ZADD", key, 1, "x"),
        ("ZRANGE", key, 0, -1),
        ("PEXPIRE", key, PROBE_MS),
        ("DEL", key),
        ("HSET", key, "x", 1),
        ("HGET", key, "x"),
        ("DEL", key),
        ("TIME",),
    ]
