"""How long calls waited for the account: a histogram that any number of processes add to."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass

BUCKETS = (0.0, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 60.0, 120.0, 300.0)
"""Upper bounds in seconds; what is longer falls into one more. A full window is 60."""
NOT_HELD = "none"
"""What held a call that went at once."""


@dataclass(frozen=True, slots=True)
class WaitHistogram:
    """Waits for one limit: how many fell into each bucket (not cumulative), and their sum."""

    counts: tuple[int, ...]
    seconds: float


def bucket_of(seconds: float) -> int:
    """The number of the bucket that ``seconds`` falls into."""
    return bisect_left(BUCKETS, seconds)


def observations(waited: Mapping[str, float]) -> list[tuple[str, int, float]]:
    """What one call adds: (what held it, bucket, seconds) for each limit that did."""
    held = {str(kind): seconds for kind, seconds in waited.items() if seconds > 0}
    return [(kind, bucket_of(s), s) for kind, s in (held or {NOT_HELD: 0.0}).items()]


def read(fields: Mapping[str, int]) -> dict[str, WaitHistogram]:
    """What was added up under ``<kind>:<bucket>`` (calls) and ``<kind>:us`` (microseconds)."""
    kinds = {field.partition(":")[0] for field in fields}
    return {
        kind: WaitHistogram(
            tuple(int(fields.get(f"{kind}:{n}", 0)) for n in range(len(BUCKETS) + 1)),
            int(fields.get(f"{kind}:us", 0)) / 1e6,
        )
        for kind in sorted(kinds)
    }
