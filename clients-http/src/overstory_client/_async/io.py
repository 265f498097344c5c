"""What waits, runs beside, or reads a file: the sync client has its own of the same names."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")
Sleep = Callable[[float], Awaitable[None]]
sleep: Sleep = asyncio.sleep


async def in_thread(function: Callable[[T], R], value: T) -> R:
    """``function(value)``, which reads files."""
    return await asyncio.to_thread(function, value)


async def at_once(function: Callable[[T], Awaitable[R]], values: Sequence[T], most: int) -> list[R]:
    """``function`` of each value, ``most`` at the same time; the first error ends the others."""
    places = asyncio.Semaphore(most)

    async def one(value: T) -> R:
        async with places:
            return await function(value)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(value)) for value in values]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


async def pieces(path: Path, size: int) -> AsyncIterator[bytes]:
    """The bytes of a file, ``size`` at a time."""
    with path.open("rb") as file:
        while piece := await asyncio.to_thread(file.read, size):
            yield piece
