"""Packing: the fewest requests, in order, as even as the limits allow."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.tree.packing import Budget, Weight, balanced, cut, fits, halves, pack

ROOMY = Budget(60, 20_000_000, 200_000)
SMALL = Weight(1_000, 171)


@pytest.mark.parametrize(
    ("count", "packs", "sizes"),
    [(61, 2, [31, 30]), (60, 1, [60]), (7, 3, [3, 2, 2]), (3, 3, [1, 1, 1]), (2, 3, [1, 1, 0])],
)
def test_parts_differ_by_one_at_most_the_larger_first(count, packs, sizes):
    assert balanced(count, packs) == sizes


@pytest.mark.parametrize(
    ("images", "sizes"),
    [
        (0, []),
        (1, [1]),
        (60, [60]),
        (61, [31, 30]),
        (120, [60, 60]),
        (121, [41, 40, 40]),
        (130, [44, 43, 43]),
        (1000, [59] * 14 + [58] * 3),
    ],
)
def test_equal_images_make_the_fewest_even_leaves(images, sizes):
    assert pack([SMALL] * images, ROOMY) == sizes


@pytest.mark.parametrize(
    ("weights", "budget", "sizes"),
    [
        ([Weight(10, 1)] * 6, Budget(60, 30, 100), [3, 3]),  # bytes are the limit
        ([Weight(1, 10)] * 6, Budget(60, 100, 30), [3, 3]),  # tokens are the limit
        ([Weight(1, 1)] * 6, Budget(2, 100, 100), [2, 2, 2]),  # images are the limit
        ([Weight(10, 1)] * 4, Budget(60, 30, 100), [2, 2]),
        (
            [Weight(500, 1)],
            Budget(60, 30, 100),
            [1],
        ),  # too large by itself: sent alone, the provider decides
        ([Weight(1, 1), Weight(500, 1), Weight(1, 1)], Budget(60, 30, 100), [1, 1, 1]),
        (
            [Weight(30, 1), *[Weight(1, 1)] * 5],
            Budget(60, 30, 100),
            [1, 5],
        ),  # an even split exceeds the limit
    ],
)
def test_the_binding_limit_decides(weights, budget, sizes):
    assert pack(weights, budget) == sizes


@pytest.mark.parametrize(
    ("weights", "fit"),
    [
        ([], True),
        ([Weight(10, 10)] * 3, True),
        ([Weight(1, 1)] * 4, False),
        ([Weight(31, 1)], False),
        ([Weight(1, 31)], False),
        ([Weight(15, 1), Weight(16, 1)], False),
    ],
)
def test_a_request_respects_every_limit(weights, fit):
    assert fits(weights, Budget(3, 30, 30)) is fit


WEIGHTS = st.lists(st.builds(Weight, st.integers(0, 40), st.integers(0, 40)), max_size=60)
BUDGETS = st.builds(Budget, st.integers(1, 12), st.integers(1, 100), st.integers(1, 100))


def fewest(weights: list[Weight], budget: Budget) -> int:
    """The smallest possible number of packs, by exhaustive search."""
    best = [0] + [len(weights)] * len(weights)
    for end in range(1, len(weights) + 1):
        for start in range(end):
            if end - start == 1 or fits(weights[start:end], budget):
                best[end] = min(best[end], best[start] + 1)
    return best[-1]


@given(WEIGHTS, BUDGETS)
def test_packs_hold_every_item_once_within_the_budget_and_are_the_fewest(weights, budget):
    sizes = pack(weights, budget)
    assert sum(sizes) == len(weights)
    start = 0
    for size in sizes:
        assert size >= 1
        assert size == 1 or fits(weights[start : start + size], budget)
        start += size
    assert len(sizes) == fewest(weights, budget)


@given(st.integers(1, 2_000), st.integers(1, 60))
def test_equal_items_are_packed_evenly(count, room):
    sizes = pack([Weight(1, 1)] * count, Budget(room, 10**9, 10**9))
    assert max(sizes) - min(sizes) <= 1
    assert len(sizes) == -(-count // room)


@given(st.lists(st.integers(1, 300), min_size=1, max_size=200))
def test_a_cut_keeps_every_item_in_order(tokens):
    weights = [Weight(1, each) for each in tokens]
    packs = cut(range(len(tokens)), weights, Budget(7, 1_000, 900))
    assert [index for each in packs for index in each] == list(range(len(tokens)))
    assert [len(each) for each in packs] == pack(weights, Budget(7, 1_000, 900))


def test_halves_are_even():
    assert halves("abcde") == [["a", "b", "c"], ["d", "e"]]
