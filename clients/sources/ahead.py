"""Copies of the next images of a slice, while the present one is prepared.

A bucket takes tens of milliseconds to begin an answer, as long as a picture takes to be prepared,
and gives many answers at the same time.
"""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Self

AT_ONCE = 4
"""Copies that are made or wait to be used: so many files may be on the disk."""


class Ahead:
    """The copies of a slice by key; ``saves``: what writes each to a path. They are to be used in
    the order of ``saves``, each once."""

    def __init__(self, saves: Mapping[int, Callable[[Path], None]]) -> None:
        self._waiting = deque(saves.items())
        self._coming: dict[int, Future[None]] = {}

    def __enter__(self) -> Self:
        if self._waiting:  # nothing is started for files of this machine
            self._folder = tempfile.TemporaryDirectory(prefix="overstory-")
            self._pool = ThreadPoolExecutor(AT_ONCE)
            for _ in range(AT_ONCE):
                self._begin_next()
        return self

    def __exit__(self, *_: object) -> None:
        if hasattr(self, "_pool"):
            self._pool.shutdown(cancel_futures=True)
            self._folder.cleanup()

    def __contains__(self, key: int) -> bool:
        return key in self._coming

    @contextmanager
    def file(self, key: int) -> Iterator[Path]:
        """The copy, which is deleted after the block. Raises what its ``save`` raised."""
        path = self._path(key)
        try:
            self._coming.pop(key).result()
            yield path
        finally:
            path.unlink(missing_ok=True)
            self._begin_next()

    def _begin_next(self) -> None:
        if self._waiting:
            key, save = self._waiting.popleft()
            self._coming[key] = self._pool.submit(save, self._path(key))

    def _path(self, key: int) -> Path:
        return Path(self._folder.name) / str(key)
