"""How often a person's command asks a server that does not answer."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from clients.limiter.limiter import RedisLimiter
from core.catalog.tiers import AccountLimits
from core.errors import ServiceAway
from core.settings import load
from overstory.commands.watch import limiter_away
from overstory.doctor.context import AskedOnce

LIMITS = AccountLimits(1, 1, 1)


@dataclass
class Mute:
    """Takes connections and closes each without an answer."""

    port: int
    taken: int = 0


@contextmanager
def mute() -> Iterator[Mute]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Mute(listener.getsockname()[1])

        def close_each() -> None:
            while True:
                connection, _ = listener.accept()
                connection.close()
                if stopping.is_set():
                    return
                server.taken += 1

        stopping = threading.Event()
        thread = threading.Thread(target=close_each)
        thread.start()
        try:
            yield server
        finally:
            stopping.set()
            socket.create_connection(("127.0.0.1", server.port)).close()
            thread.join()


def test_the_doctor_asks_a_database_that_does_not_answer_once() -> None:
    with mute() as server:
        database = AskedOnce(f"postgresql://me@127.0.0.1:{server.port}/jobs?sslmode=disable")
        for _ in range(3):
            with pytest.raises(ServiceAway), database.read():
                pass
        assert server.taken == 1
        database.dispose()


@pytest.mark.parametrize(("patient", "tries"), [(False, 2), (True, 4)])
def test_a_command_tries_the_limiter_twice_and_a_worker_longer(patient: bool, tries: int) -> None:
    with mute() as server:
        url = f"redis://127.0.0.1:{server.port}/1"
        limiter = RedisLimiter(url, "account", LIMITS, patient=patient)
        with pytest.raises(ServiceAway):
            limiter.state()
        assert server.taken == tries
        limiter.close()


@pytest.mark.parametrize(
    ("chosen", "named"),
    [
        ({}, ""),
        ({"broker_url": "redis://r:6379/0"}, "OVERSTORY_BROKER_URL"),
        ({"limiter_url": "redis://r:6379/1"}, "OVERSTORY_LIMITER_URL"),
    ],
)
def test_a_watched_job_names_the_server_that_does_not_answer(
    chosen: dict[str, str], named: str
) -> None:
    said = limiter_away(load(**chosen))
    assert named in said
    assert bool(said) == bool(named)
