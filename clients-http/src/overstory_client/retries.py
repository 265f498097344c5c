"""How often a request is sent again, and when."""

from __future__ import annotations

from dataclasses import dataclass

from overstory_client.errors import OverstoryError

AGAIN = frozenset({408, 429, 502, 503, 504})
"""Statuses of a service that was busy or away."""
RETRY_AFTER_MAX = 60.0


@dataclass(frozen=True, slots=True)
class Retries:
    """``attempts``: of one request, at most. ``first``, ``longest``: the wait after the first, and
    the longest one, in seconds. The wait doubles each time, unless the service says how long."""

    attempts: int = 6
    first: float = 0.5
    longest: float = 10.0

    def wait(self, failed: int, error: OverstoryError, share: float) -> float | None:
        """Seconds until the next attempt, after ``failed`` of them; None: no more. ``share``: a
        random number from 0 to 1, so that not everybody comes back at once."""
        if failed >= self.attempts:
            return None
        if error.retry_after is not None:
            return min(error.retry_after, RETRY_AFTER_MAX)
        longest = min(self.first * 2.0 ** (failed - 1), self.longest)
        return longest * (0.5 + share / 2)


RETRIES = Retries()
"""Six attempts in about 16 s, or longer if the service says so."""
