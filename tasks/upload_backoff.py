"""Pauses this process's uploads: after a refusal, and while the file store is full.

This avoids a thundering herd: all uploads pause, then one slice probes, and the others follow if it
succeeds.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict

REST_SECONDS, REST_SECONDS_MAX = 0.5, 30.0
"""The pause after a refusal: doubled each time the next upload is refused too."""
ROOM_SECONDS = 0.5
"""The pause while the store is full of files that leaves still wait for."""
NO_ROOM_SECONDS_MAX = 1.0
"""The longest pause if the provider has no room and we can delete nothing. A leaf may be answered
at any time, but each try costs a refusal and a listing of all files."""
TRIAL_SECONDS = 30.0
"""The longest that others wait for the probe, and how long images go inline without a probe."""


class UploadBackoff:
    """Whether this process uploads an account's images now."""

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
        """The slice has ended, so the next may start. True if it was a probe that succeeded: slices
        that came meanwhile did not start, and need a new message."""
        with self._lock:
            was_probe = self._trial_until > 0.0
            self._trial_until = 0.0
            return was_probe and not self._slow

    def full(self) -> None:
        with self._lock:
            self._slow, self._rest_until = True, time.monotonic() + ROOM_SECONDS

    def full_elsewhere(self) -> None:
        """The provider is full although our count has room: send images inline for a while."""
        with self._lock:
            self._inline_until = time.monotonic() + TRIAL_SECONDS

    def is_full_elsewhere(self) -> bool:
        with self._lock:
            return time.monotonic() < self._inline_until

    def refused(self, at_least: float, at_most: float = REST_SECONDS_MAX) -> None:
        """Pause. Refusals of several threads at the same moment count as one."""
        with self._lock:
            at = time.monotonic()
            if at < self._refused_until:
                return
            rest = min(REST_SECONDS * 2**self._refusals, at_most)
            self._slow, self._refusals = True, self._refusals + 1
            self._rest_until = self._refused_until = at + max(rest, at_least)

    def is_refused(self) -> bool:
        """Whether the rest of a running slice must wait."""
        with self._lock:
            return time.monotonic() < self._refused_until

    def go(self) -> None:
        with self._lock:
            self._slow, self._refusals = False, 0
            self._rest_until = self._refused_until = 0.0


_backoffs: defaultdict[str, UploadBackoff] = defaultdict(UploadBackoff)


def of(account: str) -> UploadBackoff:
    """The state of this process's uploads for ``account``."""
    return _backoffs[account]
