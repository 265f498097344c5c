"""When this process uploads nothing for a while: after a refusal, and where the store is full.

Everybody asking again at once is what a refusal is against. So all rest; then one slice goes ahead
to see, and the others follow it.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict

REST_SECONDS, REST_SECONDS_MAX = 0.5, 30.0
"""How long uploads rest after a refusal: doubled while the next one is refused too."""
ROOM_SECONDS = 0.5
"""How long they rest where the store is full of what is waited for."""
NO_ROOM_SECONDS_MAX = 1.0
"""The longest rest where the provider has no place and nothing of ours could go: a leaf may be
answered any time, but each try is a refusal, and a look at all that is stored."""
TRIAL_SECONDS = 30.0
"""How long the others wait for the one that tries, at most; and go inline without trying."""


class UploadBackoff:
    """Whether this process uploads an account's images now, and whether it asks for room there."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._slow = False
        self._refusals = 0
        self._rest_until = self._trial_until = self._refused_until = self._inline_until = 0.0

    def start(self) -> bool:
        """Whether a slice may start now."""
        with self._lock:
            at = time.monotonic()
            if at < max(self._rest_until, self._trial_until):
                return False
            self._trial_until = at + TRIAL_SECONDS if self._slow else 0.0
            return True

    def end(self) -> bool:
        """The slice has ended: where it did not say more, the next one tries. True where it went
        ahead alone, to see: whoever came meanwhile was sent away, and may come now."""
        with self._lock:
            alone = self._trial_until > 0.0
            self._trial_until = 0.0
            return alone and not self._slow

    def full(self) -> None:
        with self._lock:
            self._slow, self._rest_until = True, time.monotonic() + ROOM_SECONDS

    def full_elsewhere(self) -> None:
        """The provider has no place for a file, though we know of one: do without for a while."""
        with self._lock:
            self._inline_until = time.monotonic() + TRIAL_SECONDS

    def is_full_elsewhere(self) -> bool:
        with self._lock:
            return time.monotonic() < self._inline_until

    def refused(self, at_least: float, at_most: float = REST_SECONDS_MAX) -> None:
        """Rest; what is refused at the same moment in several threads counts as one refusal."""
        with self._lock:
            at = time.monotonic()
            if at < self._refused_until:
                return
            rest = min(REST_SECONDS * 2**self._refusals, at_most)
            self._slow, self._refusals = True, self._refusals + 1
            self._rest_until = self._refused_until = at + max(rest, at_least)

    def is_refused(self) -> bool:
        """Whether what a slice has still to send must wait."""
        with self._lock:
            return time.monotonic() < self._refused_until

    def go(self) -> None:
        with self._lock:
            self._slow, self._refusals = False, 0
            self._rest_until = self._refused_until = 0.0


_rests: defaultdict[str, UploadBackoff] = defaultdict(UploadBackoff)


def of(account: str) -> UploadBackoff:
    """What is known of the uploads of ``account`` in this process."""
    return _rests[account]
