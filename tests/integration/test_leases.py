"""The threads that renew leases, and their end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from models.engine import Connection, Database
from tasks.runtime.leases import LeaseKeeper
from tests.support.waiting import eventually

SECONDS = 0.04


class Watched(Database):
    """A database that signals the start of a renewal and blocks it until released."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.came, self.go = threading.Event(), threading.Event()
        self.renewed = 0

    @contextmanager
    def write(self) -> Iterator[Connection]:
        with super().write() as connection:
            self.came.set()
            assert self.go.wait(60.0)
            yield connection
        self.renewed += 1


def keeper_of(database: Database) -> LeaseKeeper:
    nobody: Any = None  # no call is held, so the limiter is not used
    return LeaseKeeper(database, nobody, SECONDS, SECONDS)


def running(keeper: LeaseKeeper) -> list[threading.Thread]:
    """The keeper's threads that still run; those of earlier tests may begin and end meanwhile."""
    return [thread for thread in keeper._threads if thread.is_alive()]


def test_closing_waits_for_the_running_renewal_and_no_other_follows(database):
    watched = Watched(database.url)
    keeper = keeper_of(watched)
    with keeper.hold("token"):
        assert watched.came.wait(60.0)
        closing = threading.Thread(target=keeper.close)
        closing.start()
        closing.join(5 * SECONDS)
        assert closing.is_alive()
        watched.go.set()
        closing.join(60.0)
        assert not closing.is_alive()
        renewed = watched.renewed
    watched.dispose()  # an open connection would warn, and pytest fails on warnings
    assert renewed == 1
    assert not running(keeper)


def test_a_keeper_without_leases_closes_at_once(database):
    watched = Watched(database.url)
    watched.go.set()
    keeper = keeper_of(watched)
    keeper.close()  # never started
    keeper = keeper_of(watched)
    with keeper.hold("token"):
        eventually(lambda: watched.renewed >= 2)
    keeper.close()
    watched.dispose()
    assert not running(keeper)


def test_an_unexpected_error_does_not_stop_renewals(database):
    watched = Watched(database.url)
    watched.go.set()
    write, failures = watched.write, [KeyError("a bug")]

    def failing() -> AbstractContextManager[Connection]:
        if failures:
            raise failures.pop()
        return write()

    watched.write = failing  # type: ignore[method-assign]
    keeper = keeper_of(watched)
    with keeper.hold("token"):
        eventually(lambda: watched.renewed >= 2)
    keeper.close()
    watched.dispose()
    assert not failures


class Silent:
    """A limiter behind a link that drops packets: a renewal waits until it is given up."""

    def __init__(self) -> None:
        self.came, self.go = threading.Event(), threading.Event()

    def renew(self, lease: str, ttl_seconds: float) -> bool:
        self.came.set()
        self.go.wait()
        return True


def test_a_limiter_that_does_not_answer_holds_no_renewal_in_the_database(database):
    watched, limiter = Watched(database.url), Silent()
    watched.go.set()
    keeper = LeaseKeeper(watched, limiter, SECONDS, SECONDS)  # type: ignore[arg-type]
    with keeper.hold("token", call=True):
        try:
            assert limiter.came.wait(60.0)
            renewed = watched.renewed
            eventually(lambda: watched.renewed >= renewed + 2)
        finally:
            limiter.go.set()
            keeper.close()
            watched.dispose()
    assert not running(keeper)
