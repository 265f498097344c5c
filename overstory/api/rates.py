"""How many requests a token may send in a minute."""

from __future__ import annotations

import time
from collections.abc import Callable


class Rates:
    """A bucket for each token, in this process: it holds the requests of a minute and fills
    steadily."""

    def __init__(self, per_minute: int, now: Callable[[], float] = time.monotonic) -> None:
        self._most = float(per_minute)
        self._now = now
        self._buckets: dict[str, tuple[float, float]] = {}

    def wait(self, name: str) -> float:
        """Take one request of the token ``name``: 0.0, or the seconds until there is one."""
        at = self._now()
        left, before = self._buckets.get(name, (self._most, at))
        left = min(left + (at - before) * self._most / 60.0, self._most)
        taken = left >= 1.0
        self._buckets[name] = (left - 1.0 if taken else left, at)
        return 0.0 if taken else (1.0 - left) * 60.0 / self._most
