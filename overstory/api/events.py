"""The events of a job as server-sent events, which a client resumes by ``Last-Event-ID``.

One reader asks the database about a job, however many connections watch it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, field

from anyio import to_thread

from models.engine import Database
from models.reads import pipeline
from models.reads.pipeline import EventRow
from overstory.client import is_over

POLL_SECONDS = 0.5
BEAT_SECONDS = 15.0
"""A comment is sent so often, because proxies cut a connection that is silent for a minute."""
SEEN_BACK = 1_000
"""An event is visible when its transaction ends, so a lower id may appear after a higher one. Each
read covers this many ids before the highest one seen."""


@dataclass(slots=True)
class Watched:
    """The events of one job that are known so far, and whether there will be more."""

    known: dict[int, EventRow] = field(default_factory=dict)
    is_over: bool = False
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    watchers: int = 0
    reader: asyncio.Task[None] | None = None


class Events:
    """Follows the jobs that somebody watches."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._jobs: dict[str, Watched] = {}

    async def stream(self, job: str, after: int) -> AsyncIterator[str]:
        """The events of ``job`` with an id above ``after``, then those that happen, as lines of an
        event stream. It ends with the job."""
        watched = self._jobs.setdefault(job, Watched())
        watched.watchers += 1
        if watched.reader is None:
            watched.reader = asyncio.create_task(self._read(job, watched))
        sent: set[int] = set()
        try:
            while True:
                over = watched.is_over
                fresh = [e for e in watched.known.values() if e.id > after and e.id not in sent]
                for event in sorted(fresh, key=lambda event: event.id):
                    sent.add(event.id)
                    yield _line(event)
                if over:
                    yield "event: end\ndata: {}\n\n"
                    return
                if not fresh and not await self._news(watched):
                    yield ": still here\n\n"
        finally:
            watched.watchers -= 1
            if not watched.watchers and watched.reader is not None:
                watched.reader.cancel()
                self._jobs.pop(job, None)

    async def _news(self, watched: Watched) -> bool:
        """Wait for news of a job; False if there was none for BEAT_SECONDS."""
        try:
            async with asyncio.timeout(BEAT_SECONDS), watched.changed:
                await watched.changed.wait()
        except TimeoutError:
            return False
        return True

    async def _read(self, job: str, watched: Watched) -> None:
        while not watched.is_over:
            before = len(watched.known)
            highest = max(watched.known, default=0)
            over, rows = await to_thread.run_sync(self._look, job, highest - SEEN_BACK)
            watched.known |= {row.id: row for row in rows}
            watched.is_over = over
            if over or len(watched.known) > before:
                async with watched.changed:
                    watched.changed.notify_all()
            if not over:
                await asyncio.sleep(POLL_SECONDS)

    def _look(self, job: str, after: int) -> tuple[bool, list[EventRow]]:
        with self._database.read() as connection:
            over = is_over(connection, job)
            return over, pipeline.events(connection, job, after)


def _line(event: EventRow) -> str:
    data = {name: value for name, value in asdict(event).items() if name != "id"}
    return f"id: {event.id}\nevent: {event.name}\ndata: {json.dumps(data)}\n\n"
