"""The least time a job can take: pure functions of what was measured and what the account allows.

Each bound is a sentence about the last thing that has to happen; nothing can be faster than the
slowest of them. docs/performance.md has the same formulas.
"""

from __future__ import annotations

from dataclasses import dataclass

from core.limits import Limits


@dataclass(frozen=True, slots=True)
class Tree:
    """What a job asked: requests by kind, levels, and all tokens that were billed."""

    leaves: int
    requests: int
    depth: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Bound:
    """Seconds, by what sets them. ``seconds`` is the largest."""

    cpu: float
    requests: float
    tokens: float
    concurrency: float

    @property
    def seconds(self) -> float:
        return max(self.cpu, self.account)

    @property
    def account(self) -> float:
        return max(self.requests, self.tokens, self.concurrency)

    @property
    def binds(self) -> str:
        """``cpu``, or the limit of the account; ``latency`` where no limit makes anybody wait."""
        names = ("cpu", "requests", "tokens", "concurrency")
        return max(names, key=lambda name: float(getattr(self, name)))


def bound(
    image_seconds: float, tree: Tree, limits: Limits, window_seconds: float, latency_seconds: float
) -> Bound:
    """``image_seconds``: bare decoding, resizing and encoding of all images on all cores.

    cpu: the last image is prepared, then its leaf and each level above it are asked.
    requests: of n in windows of rpm, the last leaf starts (leaves - 1) // rpm windows late.
    tokens: of T in windows of tpm, the last request starts (T - 1) // tpm windows late.
    concurrency: leaves go in rounds of that many calls, then the levels above.
    """
    levels = tree.depth * latency_seconds
    rounds = -(-tree.leaves // limits.concurrency)
    late = (tree.leaves - 1) // limits.rpm * window_seconds
    last = (tree.requests - 1) // limits.rpm * window_seconds
    windows = (tree.tokens - 1) // limits.tpm
    return Bound(
        cpu=image_seconds + levels,
        requests=max(late + levels, last + latency_seconds),
        tokens=max(windows * window_seconds + latency_seconds, levels),
        concurrency=(rounds - 1) * latency_seconds + levels,
    )
