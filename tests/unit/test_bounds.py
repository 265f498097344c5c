"""The benchmark's lower bounds."""

from __future__ import annotations

import pytest

from benchmarks.pipeline.bounds import Tree, bound
from core.limits import Limits

ROOMY = Limits(1_000, 100_000, 1_000_000_000)
FLAT = Tree(leaves=10, requests=11, depth=2, tokens=120_000)


@pytest.mark.parametrize(
    ("image_seconds", "tree", "limits", "seconds", "binds"),
    [
        # the last image is prepared, then a leaf and the root are asked
        (30.0, FLAT, ROOMY, 34.0, "cpu"),
        # ten leaves five at a time are two rounds, then the root
        (1.0, FLAT, Limits(5, 100, 10**9), 6.0, "concurrency"),
        # the tenth leaf of a window of nine waits for the next one
        (1.0, FLAT, Limits(100, 9, 10**9), 64.0, "requests"),
        # the root alone does not fit the window any more
        (1.0, FLAT, Limits(100, 10, 10**9), 62.0, "requests"),
        # 120,000 tokens are two windows of 60,000 to the token: the last call starts in the second
        (1.0, FLAT, Limits(100, 100, 60_000), 62.0, "tokens"),
        # one leaf is the root
        (1.0, Tree(1, 1, 1, 12_000), ROOMY, 3.0, "cpu"),
    ],
)
def test_the_slowest_of_what_must_happen_is_the_bound(
    image_seconds: float, tree: Tree, limits: Limits, seconds: float, binds: str
) -> None:
    found = bound(image_seconds, tree, limits, window_seconds=60.0, latency_seconds=2.0)
    assert (found.seconds, found.binds) == (seconds, binds)
