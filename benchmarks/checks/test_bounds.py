"""The benchmark's lower bounds."""

from __future__ import annotations

import pytest

from benchmarks.pipeline.bounds import Tree, bound, schedule
from core.catalog.tiers import AccountLimits

ROOMY = AccountLimits(1_000, 100_000, 1_000_000_000)


def _tree(leaves: int, tokens: int = 10_000, root_tokens: int = 20_000) -> Tree:
    """Leaves of 60 images and a root over them."""
    return Tree((60,) * leaves, (tokens,) * leaves, (root_tokens,), depth=2)


FLAT = _tree(10)
ONE = Tree((60,), (12_000,), (), depth=1)


@pytest.mark.parametrize(
    ("image_seconds", "tree", "limits", "seconds", "binds"),
    [
        # the last image is prepared, then a leaf and the root are called
        (30.0, FLAT, ROOMY, 34.0, "cpu"),
        # ten leaves five at a time are two rounds, then the root
        (1.0, FLAT, AccountLimits(5, 100, 10**9), 6.0, "concurrency"),
        # the tenth leaf of a window of nine waits for the next one
        (1.0, FLAT, AccountLimits(100, 9, 10**9), 64.0, "requests"),
        # only the root does not fit into the window
        (1.0, FLAT, AccountLimits(100, 10, 10**9), 62.0, "requests"),
        # 120,000 tokens are two windows of 60,000 to the token: the last call starts in the second
        (1.0, FLAT, AccountLimits(100, 100, 60_000), 62.0, "tokens"),
        # one leaf is the root
        (1.0, ONE, ROOMY, 3.0, "cpu"),
    ],
)
def test_the_largest_separate_bound_is_the_bound(
    image_seconds: float, tree: Tree, limits: AccountLimits, seconds: float, binds: str
) -> None:
    found = bound(image_seconds, tree, limits, window_seconds=60.0, latency_seconds=2.0)
    assert (found.seconds, found.binds) == (seconds, binds)


@pytest.mark.parametrize(
    ("image_seconds", "tree", "limits", "seconds", "binds"),
    [
        # a leaf is prepared every 3 s; the last at 30, then it and the root are called
        (30.0, FLAT, ROOMY, 34.0, "cpu"),
        (1.0, ONE, ROOMY, 3.0, "cpu"),
        # prepared at 1, 2, ... 10 with one call at once: starts at 1, 3, ... 19, the root at 21
        (10.0, FLAT, AccountLimits(1, 100, 10**9), 23.0, "concurrency"),
        # two calls at once are enough for one leaf per second
        (10.0, FLAT, AccountLimits(2, 100, 10**9), 14.0, "cpu"),
        # nine requests per window: the tenth leaf starts 60 s after the first, at 0.1 + 60
        (1.0, FLAT, AccountLimits(100, 9, 10**9), 64.1, "requests"),
        # the eleventh request is the root: 60 s after the first
        (1.0, FLAT, AccountLimits(100, 10, 10**9), 62.1, "requests"),
        # four leaves have 40,000 tokens: the fifth starts at 61, the ninth at 121, the tenth at 122
        (10.0, FLAT, AccountLimits(100, 100, 40_000), 126.0, "tokens"),
        # pictures take longer than a window: when the fifth is prepared, at 100, the first has left
        (200.0, FLAT, AccountLimits(100, 100, 40_000), 204.0, "cpu"),
        # small leaves first: prepared at 1, 3 and 10; the last starts at 10, then the root
        (10.0, Tree((70, 10, 20), (9, 9, 9), (9,), 2), AccountLimits(1, 100, 10**9), 14.0, "cpu"),
        # a window of 45,000 has room for the three smallest leaves: the fourth waits for the first
        (4.0, Tree((60,) * 4, (20_000, 15_000, 15_000, 10_000), (1,), 2),
         AccountLimits(100, 100, 45_000), 65.0, "tokens"),
    ],
)  # fmt: skip
def test_no_schedule_under_all_limits_at_once_ends_sooner(
    image_seconds: float, tree: Tree, limits: AccountLimits, seconds: float, binds: str
) -> None:
    found = schedule(image_seconds, tree, limits, window_seconds=60.0, latency_seconds=2.0)
    assert (found.seconds, found.binds) == (pytest.approx(seconds), binds)


@pytest.mark.parametrize(
    "limits", [ROOMY, AccountLimits(1, 3, 10**9), AccountLimits(3, 100, 70_000)]
)
@pytest.mark.parametrize("image_seconds", [1.0, 40.0])
def test_all_limits_at_once_leave_no_more_than_each_alone(
    image_seconds: float, limits: AccountLimits
) -> None:
    alone = bound(image_seconds, FLAT, limits, window_seconds=60.0, latency_seconds=2.0)
    together = schedule(image_seconds, FLAT, limits, window_seconds=60.0, latency_seconds=2.0)
    assert together.seconds >= max(alone.cpu, alone.requests, alone.concurrency)
