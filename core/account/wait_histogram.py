"""How long calls waited for the account's limits: a histogram shared by all processes."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass

BUCKETS = (0.0, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 60.0, 120.0, 300.0)
"""Upper bounds in seconds, with one more bucket for longer waits. A full window is 60."""
NOT_HELD = "none"
"""The kind recorded for a call that did not wait."""


@dataclass(frozen=True, slots=True)
class WaitHistogram:
    """Waits for one limit: the number in each bucket (not cumulative), and their sum."""

    counts: tuple[int, ...]
    seconds: float


def bucket_of(seconds: float) -> int:
    """The index of the bucket for ``seconds``."""
    return bisect_left(BUCKETS, seconds)


def observations(waited: Mapping[str, float]) -> list[tuple[str, int, float]]:
    """The entries of one call: (kind, bucket, seconds) for each limit it waited for."""
    held = {str(kind): seconds for kind, seconds in waited.items() if seconds > 0}
    return [(kind, bucket_of(s), s) for kind, s in (held or {NOT_HELD: 0.0}).items()]


def read(fields: Mapping[str, int]) -> dict[str, WaitHistogram]:
    """Histograms by kind, from the sums at ``<kind>:<bucket>`` (calls) and ``<kind>:us``
    (microseconds)."""
    kinds = {field.partition(":")[0] for field in fields}
    return {
        kind: WaitHistogram(
            tuple(int(fields.get(f"{kind}:{n}", 0)) for n in range(len(BUCKETS) + 1)),
            int(fields.get(f"{kind}:us", 0)) / 1e6,
        )
        for kind in sorted(kinds)
    }
