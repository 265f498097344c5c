"""Large bodies of requests: read in pieces, and written by threads that no slow client holds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus
from typing import TypeVar

from anyio import CapacityLimiter, to_thread
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

PIECE_BYTES = 256_000
"""What one connection has in memory. A thread is used once for each piece."""
IDLE_SECONDS = 120.0
"""A client that sends nothing for so long has gone."""
WRITERS = 8
"""Threads that write at the same time. Others answer requests meanwhile."""
T = TypeVar("T")


class Writers:
    """The threads that write what arrives."""

    def __init__(self) -> None:
        self._limiter = CapacityLimiter(WRITERS)

    async def run(self, work: Callable[..., T], *arguments: object) -> T:
        return await to_thread.run_sync(work, *arguments, limiter=self._limiter)

    async def pour(self, request: Request, write: Callable[[bytes], object]) -> None:
        """Give the whole body to ``write``, piece by piece."""
        async for piece in _pieces(request):
            await self.run(write, piece)


async def _pieces(request: Request) -> AsyncIterator[bytes]:
    """The body in pieces of PIECE_BYTES or a little more."""
    arrived: list[bytes] = []
    size = 0
    stream = request.stream()
    try:
        while True:
            async with asyncio.timeout(IDLE_SECONDS):
                arrived.append(await anext(stream))
            size += len(arrived[-1])
            if size >= PIECE_BYTES:
                piece = b"".join(arrived)
                arrived, size = [], 0
                yield piece
    except StopAsyncIteration:
        if size:
            yield b"".join(arrived)
    except TimeoutError:
        raise HTTPException(
            HTTPStatus.REQUEST_TIMEOUT, f"nothing arrived for {IDLE_SECONDS:g} s: send it again"
        ) from None
    except ClientDisconnect:  # nobody reads the answer
        raise HTTPException(HTTPStatus.BAD_REQUEST, "the connection was cut") from None
