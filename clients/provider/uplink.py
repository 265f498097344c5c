"""How fast the line takes requests with images inside: told, so that files can be used instead."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock

ENOUGH_BYTES = 1_000_000
"""Bytes after which a rate is told. Fewer may fit into the buffers of the system."""
TELL_SECONDS, TELL_BYTES = 1.0, 100_000
"""Of sending, after which it is told anyway: over 5 Mbit/s the first requests of a set take
minutes, and what is prepared meanwhile can still go another way."""


class Uplink:
    """Measures what a process sends while at least one request with images is being sent.

    Requests that are sent at once share the line, so their bytes are added up and time counts once.
    Thread-safe. ``told`` receives bytes a second: after a request, at most once for
    ``ENOUGH_BYTES``, and while a request takes longer than ``TELL_SECONDS``.
    """

    def __init__(
        self, told: Callable[[float], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._told = told
        self._clock = clock
        self._lock = Lock()
        self._sending = 0
        self._since = 0.0
        self._busy_seconds = 0.0
        self._bytes = 0

    @contextmanager
    def sending(self) -> Iterator[Callable[[int], None]]:
        """While one request is sent. Call what it returns with the bytes of each piece, once the
        system has taken it."""
        with self._lock:
            if not self._sending:
                self._since = self._clock()
            self._sending += 1
        try:
            yield self._took
        finally:
            if rate := self._ended():
                self._told(rate)

    def _took(self, size: int) -> None:
        with self._lock:
            self._bytes += size
            self._count_time()
            is_due = self._busy_seconds >= TELL_SECONDS and self._bytes >= TELL_BYTES
            rate = self._rate() if is_due else None
        if rate is not None:
            self._told(rate)

    def _ended(self) -> float | None:
        with self._lock:
            self._count_time()
            self._sending -= 1
            return self._rate() if self._bytes >= ENOUGH_BYTES else None

    def _count_time(self) -> None:
        now = self._clock()
        self._busy_seconds += now - self._since
        self._since = now

    def _rate(self) -> float:
        """Since the last one was told."""
        rate = self._bytes / max(self._busy_seconds, 1e-6)
        self._busy_seconds, self._bytes = 0.0, 0
        return rate
