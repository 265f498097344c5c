"""What waits, runs beside, or reads a file: the async client has its own of the same names."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")
Sleep = Callable[[float], None]
sleep: Sleep = time.sleep


def in_thread(function: Callable[[T], R], value: T) -> R:
    """``function(value)``, which reads files."""
    return function(value)


def at_once(function: Callable[[T], R], values: Sequence[T], most: int) -> list[R]:
    """``function`` of each value, ``most`` at the same time; the first error ends the others."""
    with ThreadPoolExecutor(most) as pool:
        tasks = [pool.submit(function, value) for value in values]
        try:
            return [task.result() for task in tasks]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def pieces(path: Path, size: int) -> Iterator[bytes]:
    """The bytes of a file, ``size`` at a time."""
    with path.open("rb") as file:
        while piece := file.read(size):
            yield piece
