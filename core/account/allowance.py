"""What an endpoint's headers say about the account's requests and tokens.

Sources: OpenAI's, Groq's and Azure's ``x-ratelimit-*``, Anthropic's ``anthropic-ratelimit-*``. The
time of the reset is when all is free again (a bucket that is filled steadily), or when a fixed
window ends.
"""

from __future__ import annotations

from dataclasses import dataclass

from core.account.adaptive_limit import AdaptiveLimit, asked_for
from core.errors import LimitKind

WINDOW_SECONDS, SLACK_SECONDS = 60.0, 1.0
SHORT_SECONDS = 30.0
"""A limit that is full again so much faster is one of shorter windows than ours, and left out."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """Requests or tokens (``kind``) in a window: the ``limit``, what is ``remaining`` of it, and
    the ``reset`` in seconds; None where the endpoint does not say."""

    kind: LimitKind
    limit: int | None
    remaining: int | None
    reset: float | None

    @property
    def a_minute(self) -> int | None:
        """The limit, if it is one of a minute. Groq's limit of requests is one of a day: where more
        than a minute is left until its reset, it says nothing about the next minute."""
        if (
            self.limit is None
            or self.limit < 1
            or (self.reset or 0.0) > WINDOW_SECONDS + SLACK_SECONDS
        ):
            return None
        used = self.limit - (self.limit if self.remaining is None else self.remaining)
        if used > 0 and self.reset and self.reset * self.limit / used < SHORT_SECONDS:
            return None
        return self.limit

    @property
    def hold_seconds(self) -> float:
        """How long nothing should be sent: until the reset if nothing remains, a minute at most."""
        return asked_for(self.reset) if self.remaining == 0 else 0.0


def named_limit(limit: int, now: float) -> AdaptiveLimit:
    """A limit that a header names. It needs no probing: each reply names it again."""
    return AdaptiveLimit(
        limit=float(limit),
        grows_at=now,
        slope=0.0,
        ceiling=float(limit),
        probe_at=now,
        probe_slope=0.0,
        probe_after=0.0,
        named=True,
        cut_at=now,
    )
