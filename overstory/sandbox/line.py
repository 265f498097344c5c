"""The line before a server that answers so many calls at once, as one of a person's own does."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager


class Line:
    """The first to arrive is answered first. ``most`` gives the calls that are answered at once
    now; None: all of them."""

    def __init__(self, most: Callable[[], int | None]) -> None:
        self._most = most
        self._answered = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a place, and have it inside the block."""
        if self._is_full():
            place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(place)
            await place  # counted when it was given
        else:
            self._answered += 1
        try:
            yield
        finally:
            self._answered -= 1
            self._next()

    def _next(self) -> None:
        while self._waiting and not self._is_full():
            place = self._waiting.popleft()
            if not place.done():
                self._answered += 1
                place.set_result(None)

    def _is_full(self) -> bool:
        most = self._most()
        return most is not None and self._answered >= most
