"""The events of a job as server-sent events, which a client resumes by ``Last-Event-ID``.

One reader asks the database about a job, however many connections watch it. A connection that comes
late, or is too slow, reads what it has missed by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from bisect import bisect_right
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, field
from itertools import takewhile

import structlog
from anyio import to_thread

from core.errors import ServiceAway
from models import repair
from models.engine import Database
from models.reads import inspect, pipeline
from models.reads.pipeline import EventRow
from models.reads.standings import job_is_over

POLL_SECONDS = 0.5
BEAT_SECONDS = 15.0
"""A comment is sent so often, because proxies cut a connection that is silent for a minute."""
PAGE = 1_000
TAIL = 10_000
"""Events of a job that are kept for its watchers, 2 MB."""
SETTLED_SECONDS = 2.0
"""PostgreSQL gives out ids before it commits, so a lower id may appear after a higher one. Events
are sent in the order of their ids once they are so old that none below is still to come."""
log = structlog.get_logger()


@dataclass(slots=True)
class Tail:
    """The newest events of one job, in the order of their ids: all above ``floor``."""

    floor: int
    ids: list[int] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    is_over: bool = False
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    watchers: int = 0
    reader: asyncio.Task[None] | None = None

    @property
    def newest(self) -> int:
        return self.ids[-1] if self.ids else self.floor

    def add(self, events: list[EventRow]) -> None:
        self.ids += [event.id for event in events]
        self.lines += map(_line, events)
        if (surplus := len(self.ids) - TAIL) > 0:
            self.floor = self.ids[surplus - 1]
            del self.ids[:surplus], self.lines[:surplus]

    def after(self, event: int) -> str:
        return "".join(self.lines[bisect_right(self.ids, event) :])


class Events:
    """Follows the jobs that somebody watches."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._tails: dict[str, Tail] = {}

    async def stream(self, job: str, after: int) -> AsyncIterator[str]:
        """The events of ``job`` with an id above ``after``, then those that happen, as lines of an
        event stream. It ends with the job."""
        after = min(after, await to_thread.run_sync(self._newest, job))
        async with self._watching(job, after) as tail:
            while True:
                over, missed = tail.is_over, after < tail.floor
                if missed:
                    _, events = await to_thread.run_sync(self._look, job, after)
                    after = events[-1].id if events else tail.floor
                    lines = "".join(map(_line, events))
                else:
                    lines, after = tail.after(after), max(after, tail.newest)
                if lines:
                    yield lines
                elif over and not missed:
                    yield "event: end\ndata: {}\n\n"
                    return
                elif not missed and not await _news(tail, after):
                    yield ": still here\n\n"

    @contextlib.asynccontextmanager
    async def _watching(self, job: str, after: int) -> AsyncIterator[Tail]:
        tail = self._tails.setdefault(job, Tail(after))
        tail.watchers += 1
        if tail.reader is None:
            tail.reader = asyncio.create_task(self._read(job, tail))
        try:
            yield tail
        finally:
            tail.watchers -= 1
            if not tail.watchers:
                tail.reader.cancel()
                self._tails.pop(job, None)

    async def _read(self, job: str, tail: Tail) -> None:
        while not tail.is_over:
            try:
                over, events = await to_thread.run_sync(self._look, job, tail.newest)
            except ServiceAway as error:  # the watchers wait until the database answers
                log.warning("events.wait", job=job, error=str(error))
                over, events = False, []
            tail.add(events)
            tail.is_over = over and len(events) < PAGE
            if events or over:
                async with tail.changed:
                    tail.changed.notify_all()
            if len(events) < PAGE:
                await asyncio.sleep(POLL_SECONDS)

    def _newest(self, job: str) -> int:
        """The id of the job's newest event. No watcher may start the tail of all above it."""
        with self._database.read() as connection:
            return inspect.last_event(connection, job)

    def _look(self, job: str, after: int) -> tuple[bool, list[EventRow]]:
        """Whether the job is over, and its next events, at most PAGE."""
        with self._database.read() as connection:
            over = job_is_over(connection, job)
            events = pipeline.events(connection, job, after, PAGE)
            if over or self._database.is_sqlite:
                return over, events
            settled = repair.moment(connection) - SETTLED_SECONDS
            return False, list(takewhile(lambda event: event.at <= settled, events))


async def _news(tail: Tail, after: int) -> bool:
    """Wait for an event above ``after``, or the end; False if BEAT_SECONDS passed without."""
    try:
        async with asyncio.timeout(BEAT_SECONDS), tail.changed:
            await tail.changed.wait_for(lambda: tail.is_over or tail.newest > after)
    except TimeoutError:
        return False
    return True


def _line(event: EventRow) -> str:
    data = {name: value for name, value in asdict(event).items() if name != "id"}
    return f"id: {event.id}\nevent: {event.name}\ndata: {json.dumps(data)}\n\n"
