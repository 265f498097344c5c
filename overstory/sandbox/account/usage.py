"""What one account uses: calls in flight, requests and tokens in any rolling window.

The meter refuses by the limits it is given, and beside that remembers what it saw, so that a
client's own limiter can be judged by somebody else's count. Time comes in as an argument
(seconds of any monotonic clock).
"""

from __future__ import annotations

from collections import Counter, deque

from core.catalog.tiers import AccountLimits
from overstory.sandbox.errors import rate_limited


class RollingSum:
    """The exact sum of what was added in the last ``window`` seconds, and the highest ever."""

    def __init__(self) -> None:
        self._entries: deque[tuple[float, int]] = deque()
        self._sum = 0
        self.peak = 0

    def at(self, now: float, window: float) -> int:
        """The sum over (now - window, now]."""
        while self._entries and self._entries[0][0] <= now - window:
            self._sum -= self._entries.popleft()[1]
        return self._sum

    def add(self, now: float, window: float, amount: int) -> int:
        """Add ``amount`` at ``now``; returns the sum with it."""
        current = self.at(now, window) + amount
        self._entries.append((now, amount))
        self._sum = current
        self.peak = max(self.peak, current)
        return current


class AccountUsage:
    """The limits of one account (fact sheet 5): excess is refused, never queued."""

    def __init__(self) -> None:
        self.in_flight = 0
        self.max_in_flight = 0
        self.refused: Counter[str] = Counter()
        self._arrived = RollingSum()
        self._admitted = RollingSum()
        self._tokens = RollingSum()

    def enter(
        self, now: float, window: float, limits: AccountLimits | None, rejected_count: bool = True
    ) -> None:
        """Take a place for a call that arrived at ``now``; ``leave`` gives it back.

        ``limits`` None lets everything in. Raises Refusal 429, and then holds no place.
        """
        current = self.in_flight + 1
        self.max_in_flight = max(self.max_in_flight, current)
        requests = self._arrived.add(now, window, 1)
        if not rejected_count:
            requests = self._admitted.at(now, window) + 1
        if limits and current > limits.concurrency:
            self.refused["concurrency"] += 1
            raise rate_limited("concurrency", current, limits.concurrency)
        if limits and requests > limits.rpm:
            self.refused["rpm"] += 1
            raise rate_limited("request limited RPM", requests, limits.rpm)
        self._admitted.add(now, window, 1)
        self.in_flight = current

    def leave(self) -> None:
        """The reply has ended, or the client is gone."""
        self.in_flight -= 1

    def charge(self, now: float, window: float, tokens: int, limits: AccountLimits | None) -> None:
        """Count a call's prompt tokens. Raises Refusal 429, and then counts nothing."""
        current = self._tokens.at(now, window) + tokens
        if limits and current > limits.tpm:
            self.refused["tpm"] += 1
            raise rate_limited("request limited TPM", current, limits.tpm)
        self._tokens.add(now, window, tokens)

    def settle(self, now: float, window: float, tokens: int) -> None:
        """Count the completion tokens of a call that is done: they are spent already."""
        self._tokens.add(now, window, tokens)

    def seen(self) -> dict[str, object]:
        """The highest values ever seen; arrivals include what was refused."""
        return {
            "in_flight": self.in_flight,
            "max_in_flight": self.max_in_flight,
            "max_requests_window": self._arrived.peak,
            "max_admitted_window": self._admitted.peak,
            "max_tokens_window": self._tokens.peak,
            "refused_429": dict(self.refused),
        }
