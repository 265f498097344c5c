"""Usage of one account: calls in flight, and requests and tokens in a rolling window.

It refuses calls above the limits. It also counts independently of the client, so that the counts
can be used to check the client's limiter. Times are arguments, in seconds of a monotonic clock.
"""

from __future__ import annotations

from collections import Counter, deque

from core.catalog.tiers import AccountLimits
from overstory.sandbox.errors import rate_limited


class RollingSum:
    """The exact sum of the amounts of the last ``window`` seconds, and its peak."""

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
    """The usage of one account against its limits (fact sheet 5): excess is refused, not queued."""

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
        """Take a slot for a call that arrived at ``now``; ``leave`` returns it.

        ``limits`` None admits everything. Raises Refusal 429, and then holds no slot.
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
        """Return the slot: the reply has ended or the client is gone."""
        self.in_flight -= 1

    def charge(self, now: float, window: float, tokens: int, limits: AccountLimits | None) -> None:
        """Count a call's prompt tokens. Raises Refusal 429, and then counts nothing."""
        current = self._tokens.at(now, window) + tokens
        if limits and current > limits.tpm:
            self.refused["tpm"] += 1
            raise rate_limited("request limited TPM", current, limits.tpm)
        self._tokens.add(now, window, tokens)

    def settle(self, now: float, window: float, tokens: int) -> None:
        """Count the completion tokens of a finished call. They are spent, so nothing is refused."""
        self._tokens.add(now, window, tokens)

    def stats(self) -> dict[str, object]:
        """Current and peak values; ``max_requests_window`` includes refused calls."""
        return {
            "in_flight": self.in_flight,
            "max_in_flight": self.max_in_flight,
            "max_requests_window": self._arrived.peak,
            "max_admitted_window": self._admitted.peak,
            "max_tokens_window": self._tokens.peak,
            "refused_429": dict(self.refused),
        }
