"""Requests that wait for the end of their jobs. One reader asks the database for all of them, and a
waiting request holds neither a thread nor a connection of the database."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field, replace

import structlog
from anyio import to_thread

from core.errors import OverstoryError
from core.states import JobStatus
from models.engine import Database
from models.reads.standings import Standing, standings

POLL_SECONDS = 0.5
COUNT_SECONDS = 3.0
"""Between two counts of the images of the waiting jobs, which cost more than their states."""
BEAT_SECONDS = 10.0
"""Something is sent so often, because proxies cut a connection that is silent for a minute."""
log = structlog.get_logger()


@dataclass(slots=True)
class _Watched:
    standing: Standing | None = None
    news: asyncio.Event = field(default_factory=asyncio.Event)
    watchers: int = 0


class Waiting:
    """``find_trouble``: says why no worker works on any job, or nothing."""

    def __init__(self, database: Database, find_trouble: Callable[[], str]) -> None:
        self._database = database
        self._find_trouble = find_trouble
        self._jobs: dict[str, _Watched] = {}
        self._reader: asyncio.Task[None] | None = None
        self._new = asyncio.Event()  # a job that the reader has not asked about

    async def follow(self, job: str) -> AsyncGenerator[Standing]:
        """Where ``job`` stands: now, whenever that changes, and every BEAT_SECONDS, until it is
        over."""
        watched = self._jobs.setdefault(job, _Watched())
        watched.watchers += 1
        self._new.set()
        try:
            while True:
                if self._reader is None or self._reader.done():
                    self._reader = asyncio.create_task(self._read())
                news = watched.news
                if watched.standing is not None:
                    yield watched.standing
                    if watched.standing.is_over:
                        return
                try:
                    async with asyncio.timeout(BEAT_SECONDS):
                        await news.wait()
                except TimeoutError:
                    continue
        finally:
            watched.watchers -= 1
            if not watched.watchers:
                self._jobs.pop(job, None)

    async def now(self, job: str) -> Standing:
        """Where ``job`` stands."""
        async with contextlib.aclosing(self.follow(job)) as standings_of_job:
            return await anext(standings_of_job)

    async def end(self, job: str) -> Standing:
        """Where ``job`` stands when it is over."""
        standing = Standing(None, is_over=True)
        async for standing in self.follow(job):  # noqa: B007 - the last one is wanted
            pass
        return standing

    async def trouble(self, standing: Standing) -> str:
        """Why nothing moves, or nothing."""
        if standing.status is not JobStatus.RUNNING:
            return f"{standing.status}: {standing.reason}" if standing.reason else ""
        return await to_thread.run_sync(self._find_trouble)

    async def _read(self) -> None:
        count_at = 0.0
        while self._jobs:
            self._new.clear()
            counts = time.monotonic() >= count_at
            jobs = list(self._jobs)
            new = [job for job in jobs if self._jobs[job].standing is None]
            try:
                found = await to_thread.run_sync(self._look, jobs, jobs if counts else new)
            except OverstoryError as error:  # the requests wait for the database too
                log.warning("chat.waits", error=str(error))
                found = {}
            if counts:
                count_at = time.monotonic() + COUNT_SECONDS
            for job, standing in found.items():
                self._tell(job, standing)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self._new.wait()

    def _look(self, jobs: list[str], counted: list[str]) -> dict[str, Standing]:
        with self._database.read() as connection:
            return standings(connection, jobs, counted)

    def _tell(self, job: str, standing: Standing) -> None:
        watched = self._jobs.get(job)
        if watched is None:
            return
        before = watched.standing
        if before is not None and not standing.images:
            standing = replace(standing, images=before.images)
        if standing != before:
            watched.standing = standing
            watched.news.set()
            watched.news = asyncio.Event()
