"""Spreading the first calls of a burst over the length of a call.

Calls that begin together end together, round after round, and a small job that arrives in between
waits for all of them. So if much is waiting, the calls of a burst start at equal intervals. This
costs the burst less than one call's time, once; from then on slots come free at equal intervals.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict

from core.states import NodeKind
from models import claims
from tasks.runtime.services import Services

ROUNDS = 10
"""A burst is spread only if it fills all slots for so many rounds: it then costs a few percent."""


class Pace:
    """When the last call of this process was admitted, by any stage."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = float("-inf")

    def admitted(self) -> None:
        with self._lock:
            self._last = time.monotonic()

    def turn_left(self, turn_seconds: float) -> float:
        """Seconds until the next call's turn."""
        with self._lock:
            return max(self._last + turn_seconds - time.monotonic(), 0.0)


_paces: defaultdict[str, Pace] = defaultdict(Pace)


def admitted(services: Services) -> None:
    """A call was admitted just now."""
    _paces[services.account].admitted()


def paused(services: Services, kind: NodeKind) -> bool:
    """Wait for the next call's turn. True if there was anything to wait for."""
    seconds = wait_seconds(services, kind)
    if seconds > 0.0:
        services.stopping.wait(seconds)
    return seconds > 0.0


def wait_seconds(services: Services, kind: NodeKind) -> float:
    """Seconds that the next call of this process should wait, so as not to begin with the others.

    0 once all slots but one are taken: calls then end at different times, and a free slot is taken
    at once. One process holds the account's calls up to 200; several spread their own.
    """
    slots = min(services.settings.limits.concurrency, services.settings.infer_threads)
    if services.leases.calls() >= slots - 1:
        return 0.0
    left = _paces[services.account].turn_left(services.leases.call_seconds() / slots)
    if left <= 0.0:
        return 0.0
    enough = slots * ROUNDS
    with services.database.read() as connection:
        if kind == NodeKind.LEAF:  # a large job's first leaves are ready when most still wait
            waiting = claims.open_leaves(connection, services.account, enough)
        else:
            waiting = claims.count_nodes(connection, services.account, kind, enough)
    return left if waiting >= enough else 0.0
