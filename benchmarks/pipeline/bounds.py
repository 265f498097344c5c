"""The least time a job can take: pure functions of what was measured and what the account allows.

``bound`` has a sentence for each limit about the last thing that has to happen, as if that limit
were the only one; nothing can be faster than the slowest of them. ``schedule`` has all limits at
once: the end of the best schedule there is. docs/performance.md has the same formulas.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from core.catalog.tiers import AccountLimits


@dataclass(frozen=True, slots=True)
class Tree:
    """What a job asked. ``leaves`` are images by leaf; ``looked`` and ``read`` the tokens billed
    for each request over images and for each over notes; ``depth`` counts levels, leaves too."""

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
    """Seconds, by what sets them. ``seconds`` is the largest."""

    cpu: float
    requests: float
    tokens: float
    concurrency: float

    @property
    def seconds(self) -> float:
        return max(self.cpu, self.requests, self.tokens, self.concurrency)

    @property
    def binds(self) -> str:
        """``cpu``, or the limit of the account. Where none makes anybody wait, it is ``cpu``."""
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

    cpu: the last image is prepared, then its leaf and each level above it are asked.
    requests: of n in windows of rpm, the last leaf starts (leaves - 1) // rpm windows late.
    tokens: of T in windows of tpm, the last request starts (T - 1) // tpm windows late.
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
    """Seconds to the end of the best schedule, and what most of the waiting in it is for."""

    seconds: float
    binds: str


@dataclass(frozen=True, slots=True)
class Start:
    """A request goes at ``at`` because of ``cause``; ``after`` is the place of the request that it
    waited for, None where it waited for its pictures."""

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
    """The end of the best schedule: pictures, calls at once, and both windows bind together.

    The k-th leaf that goes is whole no earlier than the k smallest leaves' pictures are prepared,
    needs one of ``concurrency`` places, which the k - concurrency-th gives back a call later, and a
    window that has room for it: one holds no more requests than ``rpm``, and no more than of the
    smallest ones have ``tpm`` tokens together (a request's tokens count from its start). After the
    last leaf each level above is a call. In the same way the last request of all starts (others
    than leaves may go when the first leaf has been answered), and takes a call.
    """
    whole = [image_seconds * done / sum(tree.leaves) for done in accumulate(sorted(tree.leaves))]
    others = [whole[0] + latency_seconds] * (tree.requests - len(whole))
    leaves = _starts(whole, tree.looked, limits, window_seconds, latency_seconds)
    asked = tree.looked + tree.read
    calls = _starts(sorted(whole + others), asked, limits, window_seconds, latency_seconds)
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
    """When requests go, in the order in which they are ready: each as soon as it may."""
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
    """How many requests a window holds at most: the smallest ones."""
    held = sum(total <= tpm for total in accumulate(sorted(tokens)))
    return max(held, 1)


def _cause(starts: Sequence[Start]) -> str:
    """What the last start waited for longest, back over those that it waited for."""
    waited = dict.fromkeys(("cpu", "requests", "tokens", "concurrency"), 0.0)
    last = starts[-1]
    while last.after is not None:
        before = starts[last.after]
        waited[last.cause] += last.at - before.at
        last = before
    waited["cpu"] += last.at
    return max(waited, key=lambda cause: waited[cause])
