"""Whether this machine reaches the provider: one that does not leaves the work to others.

Its calls fail before they are sent, and often at once (no route, no name server, a firewall that
refuses). Without a pause its idle threads would take every node that is due, faster than machines
that answer, and put each off.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from core.errors import OverstoryError, ProviderDown
from tasks.runtime.services import Services

FIRST_SECONDS, MOST_SECONDS = 0.5, 5.0
"""The pause after the first call that was not sent, and the longest: an outage of the provider ends
for all machines, and none should notice late."""
LOOK_SECONDS = 1.0


class Reach:
    """The calls of this process that were not sent, in a row; by any stage."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._pause = 0.0
        self._next = 0.0

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Around a call: any answer, and any failure after it was sent, shows that the provider is
        reached."""
        try:
            yield
        except ProviderDown as error:
            self._came() if error.sent else self._failed()
            raise
        except OverstoryError:
            self._came()
            raise
        else:
            self._came()

    def wait_seconds(self) -> float:
        """Seconds until a thread of this process may try. With 0 the caller tries, and the other
        threads wait for what it finds."""
        with self._lock:
            if not self._pause:
                return 0.0
            now = self._clock()
            if now < self._next:
                return self._next - now
            self._next = now + self._pause
            return 0.0

    def _came(self) -> None:
        with self._lock:
            self._pause = 0.0

    def _failed(self) -> None:
        with self._lock:
            self._pause = min(2 * self._pause, MOST_SECONDS) or FIRST_SECONDS
            self._next = self._clock() + self._pause


_reaches: defaultdict[str, Reach] = defaultdict(Reach)


def of(account: str) -> Reach:
    """The reach of this process to the provider of ``account``."""
    return _reaches[account]


def paused(services: Services) -> bool:
    """Wait a little if this machine does not reach the provider. True if it waited: check again."""
    seconds = of(services.account).wait_seconds()
    if seconds > 0.0:
        services.stopping.wait(min(seconds, LOOK_SECONDS))
    return seconds > 0.0
