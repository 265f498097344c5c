"""Events of a job for many watchers, each from where it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from core.errors import ServiceAway
from models.engine import Database
from models.tables import Event
from overstory.api import events as module
from overstory.api.events import Events
from tests.support import jobs
from tests.support.api import events_of


async def read(stream: AsyncIterator[str]) -> str:
    return "".join([lines async for lines in stream])


def test_each_watcher_gets_every_event_once_and_in_order(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that comes late, and finds less than all in the tail."""
    monkeypatch.setattr(module, "PAGE", 3)
    monkeypatch.setattr(module, "TAIL", 4)
    monkeypatch.setattr(module, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(module, "SETTLED_SECONDS", 0.2)
    job = jobs.submit(database, (2, 2))

    async def watch() -> list[str]:
        events = Events(database)
        first = asyncio.create_task(read(events.stream(job, 0)))
        await asyncio.to_thread(lambda: jobs.finish_all(database, jobs.upload_all(database, job)))
        after = [asyncio.create_task(read(events.stream(job, n))) for n in (0, known[2])]
        return [await task for task in (first, *after)]

    known = [row.id for row in jobs.look(database, Event, job)] + [0, 0, 0]
    first, late, resumed = (events_of(text) for text in asyncio.run(watch()))
    ids = [row.id for row in jobs.look(database, Event, job)]
    assert [number for number, _, _ in first] == [*ids, None]
    assert late == first
    assert resumed == [event for event in first if event[0] is None or event[0] > known[2]]


def test_an_id_of_the_future_hides_nothing_from_other_watchers(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SETTLED_SECONDS", 0.0)
    job = jobs.submit(database)
    jobs.finish_all(database, jobs.upload_all(database, job))

    async def watch() -> list[str]:
        events = Events(database)
        both = [asyncio.create_task(read(events.stream(job, after))) for after in (10**12, 0)]
        return [await task for task in both]

    future, all_of_it = (events_of(text) for text in asyncio.run(watch()))
    assert future == [(None, "end", {})]
    assert [number for number, _, _ in all_of_it if number] == [
        row.id for row in jobs.look(database, Event, job)
    ]


def test_an_event_that_another_may_still_precede_is_held_back(database: Database) -> None:
    """PostgreSQL shows a later id before an earlier one whose transaction is open."""
    job = jobs.submit(database)
    over, seen = Events(database)._look(job, 0)
    assert not over
    assert bool(seen) == database.is_sqlite


def test_a_watcher_waits_while_the_database_is_away(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(module, "SETTLED_SECONDS", 0.0)
    job = jobs.submit(database)
    jobs.finish_all(database, jobs.upload_all(database, job))
    events = Events(database)
    look, failures = events._look, iter([True, True])

    def sometimes(job: str, after: int) -> object:
        if next(failures, False):
            raise ServiceAway("the database is away")
        return look(job, after)

    monkeypatch.setattr(events, "_look", sometimes)
    assert events_of(asyncio.run(read(events.stream(job, 0))))[-1] == (None, "end", {})
