"""The thread that renews leases, and how it ends."""

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
    """A database that says when a renewal has come, and lets it on when told to."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.came, self.go = threading.Event(), threading.Event()
        self.renewed = 0

    @contextmanager
    def write(self) -> Iterator[Connection]:
        with super().write() as connection:
            self.came.set()
            assert self.go.wait(10.0)
            yield connection
        self.renewed += 1


def keeper_of(database: Database) -> LeaseKeeper:
    nobody: Any = None  # no call is held, so the limiter is not asked
    return LeaseKeeper(database, nobody, SECONDS, SECONDS)


def test_closing_waits_for_the_renewal_that_is_under_way_and_none_follows(database):
    before, watched = set(threading.enumerate()), Watched(database.url)
    keeper = keeper_of(watched)
    with keeper.hold("token"):
        assert watched.came.wait(10.0)
        closing = threading.Thread(target=keeper.close)
        closing.start()
        closing.join(5 * SECONDS)
        assert closing.is_alive()
        watched.go.set()
        closing.join(10.0)
        assert not closing.is_alive()
        renewed = watched.renewed
    watched.dispose()  # leaves no connection open: pytest fails on the warning
    assert renewed == 1
    assert set(threading.enumerate()) <= before


def test_what_holds_nothing_is_closed_at_once(database):
    before, watched = set(threading.enumerate()), Watched(database.url)
    watched.go.set()
    keeper = keeper_of(watched)
    keeper.close()  # never began
    keeper = keeper_of(watched)
    with keeper.hold("token"):
        eventually(lambda: watched.renewed >= 2)
    keeper.close()
    assert set(threading.enumerate()) <= before
    watched.dispose()


def test_a_renewal_that_fails_for_no_known_reason_is_not_the_last(database):
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
