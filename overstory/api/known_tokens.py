"""Tokens and sessions as the database has them, read once for many requests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

from anyio import to_thread

from core.access import hashed
from models import tokens
from models.engine import Database
from overstory.api.caller import Caller

FRESH_SECONDS = 2.0
"""A token that is revoked holds so long at most."""
PAUSE_SECONDS = 0.2
"""Between two reads, however many requests come with unknown secrets."""


class KnownTokens:
    """Finds the caller that a secret stands for."""

    def __init__(self, database: Database, now: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._now = now
        self._reading = asyncio.Lock()
        self._read_at = float("-inf")
        self._callers: Mapping[str, Caller] = {}

    async def caller(self, secret: str) -> Caller | None:
        """The token of ``secret``, or the one that the browser with this cookie has shown; None if
        it is unknown, expired or revoked. A secret that is new is found: before it is refused, all
        are read once more."""
        key, came = hashed(secret), self._now()
        await self._read_since(came - FRESH_SECONDS)
        if key not in self._callers:
            await self._read_since(came)
        return self._callers.get(key)

    async def _read_since(self, moment: float) -> None:
        """Have what the database held at ``moment`` or later. Known secrets never wait for a read
        that unknown ones have caused."""
        if self._read_at >= moment:
            return
        async with self._reading:
            if self._read_at >= moment:
                return
            await asyncio.sleep(max(self._read_at + PAUSE_SECONDS - self._now(), 0.0))
            began = self._now()
            self._callers = await to_thread.run_sync(self._read)
            self._read_at = began

    def _read(self) -> dict[str, Caller]:
        with self._database.read() as connection:
            return {
                access.hash: Caller(access.name, access.is_admin, access.read_only)
                for access in tokens.accesses(connection)
            }
