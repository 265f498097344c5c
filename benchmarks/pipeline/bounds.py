"""The least time a job can take: pure functions of the measurements and the account's limits.

``bound`` computes the earliest end for each limit as if it were the only one; no job can end before
the largest of them. ``schedule`` applies all limits at once: it is the end of the best possible
schedule. benchmarks/NOTEBOOK.md has the same formulas.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from core.catalog.tiers import AccountLimits


@dataclass(frozen=True, slots=True)
class Tree:
    """A job's requests. ``leaves``: images per leaf; ``looked`` and ``read``: billed tokens of each
    request over images and of each over notes; ``depth``: number of levels, leaves included."""

    leaves: tuple[int, ...]
    looked: tuple[int, ...]
    read: tuple[int, ...]
    depth: int

    @property
    def requests(self) -> int:
        return len(self.looked) + len(self.read)

    @property
    def tokens(self) -> int:
        return sum(self.looked) + sum(self.read)


@dataclass(frozen=True, slots=True)
class Bound:
    """Least seconds by each limit alone. ``seconds`` is the largest."""

    cpu: float
    requests: float
    tokens: float
    concurrency: float

    @property
    def seconds(self) -> float:
        return max(self.cpu, self.requests, self.tokens, self.concurrency)

    @property
    def binds(self) -> str:
        """The limit with the largest bound; ``cpu`` when the account's limits cause no wait."""
        names = ("cpu", "requests", "tokens", "concurrency")
        return max(names, key=lambda name: float(getattr(self, name)))


def bound(
    image_seconds: float,
    tree: Tree,
    limits: AccountLimits,
    window_seconds: float,
    latency_seconds: float,
) -> Bound:
    """``image_seconds``: bare decoding, resizing and encoding of all images on all cores.

    cpu: the last image is prepared, then its leaf and each level above it are called.
    requests: with rpm per window, the last leaf starts (leaves - 1) // rpm windows late, the last
    request (requests - 1) // rpm windows late.
    tokens: with tpm per window, the last request starts (tokens - 1) // tpm windows late.
    concurrency: leaves go in rounds of that many calls, then the levels above.
    """
    levels = tree.depth * latency_seconds
    rounds = -(-len(tree.leaves) // limits.concurrency)
    late = (len(tree.leaves) - 1) // limits.rpm * window_seconds
    last = (tree.requests - 1) // limits.rpm * window_seconds
    windows = (tree.tokens - 1) // limits.tpm
    return Bound(
        cpu=image_seconds + levels,
        requests=max(late + levels, last + latency_seconds),
        tokens=max(windows * window_seconds + latency_seconds, levels),
        concurrency=(rounds - 1) * latency_seconds + levels,
    )


@dataclass(frozen=True, slots=True)
class Schedule:
    """Seconds to the end of the best schedule, and the limit that causes most of the waiting."""

    seconds: float
    binds: str


@dataclass(frozen=True, slots=True)
class Start:
    """A request starts at ``at`` because of ``cause``; ``after`` is the index of the request for
    which it waited, or None if it waited for its pictures."""

    at: float
    cause: str
    after: int | None


def schedule(
    image_seconds: float,
    tree: Tree,
    limits: AccountLimits,
    window_seconds: float,
    latency_seconds: float,
) -> Schedule:
    """The end of the best schedule under all limits: pictures, concurrency and both windows.

    The k-th leaf starts when three conditions hold. The pictures of the k smallest leaves are
    prepared. One of ``concurrency`` slots is free: leaf k - concurrency frees it after one call.
    The window has room: it holds at most ``rpm`` requests, and at most as many of the smallest
    requests as fit into ``tpm`` tokens (tokens count from the request's start). After the last
    leaf, each level above takes one call. The last of all requests follows the same rules and takes
    one call; requests above the leaves may start once the first leaf is answered.
    """
    prepared = [image_seconds * done / sum(tree.leaves) for done in accumulate(sorted(tree.leaves))]
    others = [prepared[0] + latency_seconds] * (tree.requests - len(prepared))
    leaves = _starts(prepared, tree.looked, limits, window_seconds, latency_seconds)
    tokens = tree.looked + tree.read
    calls = _starts(sorted(prepared + others), tokens, limits, window_seconds, latency_seconds)
    ends = [
        (leaves[-1].at + tree.depth * latency_seconds, leaves),
        (calls[-1].at + latency_seconds, calls),
    ]
    seconds, starts = max(ends, key=lambda end: end[0])
    return Schedule(seconds, _cause(starts))


def _starts(
    ready: Sequence[float],
    tokens: Sequence[int],
    limits: AccountLimits,
    window_seconds: float,
    latency_seconds: float,
) -> list[Start]:
    """When each request starts, in the order in which they are ready: as soon as limits allow."""
    gaps = (
        ("concurrency", limits.concurrency, latency_seconds),
        ("requests", limits.rpm, window_seconds),
        ("tokens", _room(tokens, limits.tpm), window_seconds),
    )
    starts: list[Start] = []
    for place, at in enumerate(ready):
        waits = [
            Start(starts[place - count].at + seconds, cause, place - count)
            for cause, count, seconds in gaps
            if place >= count
        ]
        starts.append(max([Start(at, "cpu", None), *waits], key=lambda start: start.at))
    return starts


def _room(tokens: Sequence[int], tpm: int) -> int:
    """The most requests that fit into a window's tokens, smallest first; at least 1."""
    fitting = sum(total <= tpm for total in accumulate(sorted(tokens)))
    return max(fitting, 1)


def _cause(starts: Sequence[Start]) -> str:
    """The longest cause of waiting on the chain of requests that leads to the last start."""
    waited = dict.fromkeys(("cpu", "requests", "tokens", "concurrency"), 0.0)
    last = starts[-1]
    while last.after is not None:
        before = starts[last.after]
        waited[last.cause] += last.at - before.at
        last = before
    waited["cpu"] += last.at
    return max(waited, key=lambda cause: waited[cause])
