"""A changed set is planned from the earlier tree: unchanged parts are kept."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.tree.packing import Budget, Weight, pack
from core.tree.plan import plan_tree
from core.tree.replan import OldNode, replan

BUDGET = Budget(items=60, bytes=20_000_000, tokens=200_000)
FAN_IN = 58


def weights(count: int) -> list[Weight]:
    return [Weight(100_000, 171)] * count


def tree_over(items: list[int], budget: Budget = BUDGET, fan_in: int = FAN_IN) -> OldNode:
    """A new plan, as the earlier tree."""
    sizes = pack(weights(len(items)), budget)
    plan = plan_tree(len(sizes), fan_in)
    made: list[OldNode] = []
    start = 0
    for number, node in enumerate(plan):
        if node.level == 0:
            size = sizes[number]
            made.append(OldNode(number + 1, items=tuple(items[start : start + size])))
            start += size
            continue
        below = [n for n, child in enumerate(plan[:number]) if child.parent == number]
        made.append(OldNode(number + 1, children=tuple(made[n] for n in below)))
    return made[-1]


def again(items: list[int], old: OldNode, budget: Budget = BUDGET, fan_in: int = FAN_IN):
    return replan(items, weights(len(items)), old, budget, fan_in)


def asked(plan) -> int:
    return sum(kept is None for kept in plan.kept)


def by_id(node: OldNode) -> dict[int, OldNode]:
    return {node.id: node} | {i: n for child in node.children for i, n in by_id(child).items()}


def test_an_unchanged_set_costs_nothing():
    items = list(range(10_000))
    plan = again(items, tree_over(items))
    assert asked(plan) == 0
    assert sum(plan.sizes) == 10_000


@pytest.mark.parametrize("place", [0, 1, 30, 59, 60, 61, 5_000, 8_820, 9_999, 10_000])
def test_one_added_image_among_10_000_costs_at_most_four_requests(place):
    items = list(range(10_000))
    grown = [*items[:place], -1, *items[place:]]
    plan = again(grown, tree_over(items))
    assert asked(plan) <= 4
    assert sum(plan.sizes) == 10_001


@pytest.mark.parametrize("place", [0, 59, 5_000, 9_999])
def test_one_removed_image_costs_its_leaf_and_the_levels_above(place):
    items = list(range(10_000))
    plan = again([*items[:place], *items[place + 1 :]], tree_over(items))
    assert asked(plan) == 3


def test_a_hundred_new_images_get_new_leaves():
    items = list(range(600))
    plan = again(list(range(700)), tree_over(items))
    assert asked(plan) == 3  # two leaves and the root
    assert plan.sizes[-2:] == [50, 50]


def test_a_full_leaf_with_one_more_image_is_split_evenly():
    items = list(range(600))
    plan = again([*items[:30], -1, *items[30:]], tree_over(items))
    assert plan.sizes[:2] == [31, 30]
    assert asked(plan) == 3


def test_a_set_that_no_longer_fits_one_request_is_planned_anew():
    items = list(range(60))
    assert again([*items, 60], tree_over(items)) is None


def test_a_set_with_nothing_in_common_is_planned_anew():
    assert again(list(range(1_000, 2_000)), tree_over(list(range(1_000)))) is None


def test_a_tree_that_lost_most_images_is_planned_anew():
    items = list(range(6_000))
    assert again(items[::3], tree_over(items)) is None


def test_a_leaf_without_a_text_is_requested_with_all_levels_above():
    items = list(range(180))
    old = tree_over(items)
    broken = OldNode(
        old.id, children=(OldNode(99, old.children[0].items, settled=False), *old.children[1:])
    )
    plan = again(items, broken)
    assert plan.kept == [None, old.children[1].id, old.children[2].id, None]


def test_a_moved_image_counts_as_new():
    items = list(range(180))
    plan = again([*items[60:], *items[:60]], tree_over(items))
    assert sum(plan.sizes) == 180
    assert plan.kept[0] is not None  # the range that kept its order


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_change_gives_a_tree_within_its_limits(data):
    budget = Budget(items=data.draw(st.integers(1, 6)), bytes=10**9, tokens=10**9)
    fan_in = data.draw(st.integers(2, 4))
    before = list(range(data.draw(st.integers(1, 80))))
    old = tree_over(before, budget, fan_in)
    after = data.draw(st.lists(st.integers(0, 120), unique=True, min_size=1, max_size=90))
    plan = again(after, old, budget, fan_in)
    if plan is None:
        return
    assert sum(plan.sizes) == len(after)
    assert all(1 <= size <= budget.items for size in plan.sizes)
    children = [node.children for node in plan.tree if node.level]
    assert all(2 <= count <= fan_in for count in children)
    assert [node.parent is None for node in plan.tree] == [False] * (len(plan.tree) - 1) + [True]
    assert all(node.parent is None or node.parent > n for n, node in enumerate(plan.tree))
    known, start = by_id(old), 0
    for size, kept in zip(plan.sizes, plan.kept, strict=False):
        if kept is not None:
            assert known[kept].items == tuple(after[start : start + size])
        start += size
    for n, (node, kept) in enumerate(zip(plan.tree, plan.kept, strict=True)):
        below = [plan.kept[c] for c, child in enumerate(plan.tree) if child.parent == n]
        if node.level and kept is not None:
            assert below == [child.id for child in known[kept].children]
            assert (kept == old.id) == (node.parent is None)


def left_out(size: int, every: int) -> tuple[list[int], OldNode]:
    """All items, and the earlier tree over one of ``every``."""
    items = list(range(size))
    return items, tree_over(items[::every])


@pytest.mark.parametrize(("size", "every"), [(610, 10), (6_000, 10), (20_000, 3), (900, 2)])
def test_items_apart_cost_leaves_of_their_own_and_the_root(size, every):
    items, old = left_out(size, every)
    apart = {index for index in range(size) if index % every}
    plan = replan(items, weights(size), old, BUDGET, FAN_IN, apart)
    known = by_id(old)
    kept = {node for node in plan.kept if node is not None}
    assert kept == known.keys() - {old.id}
    leaves = len(pack(weights(len(apart)), BUDGET))
    # a branch of new leaves may be needed where the root has no room
    assert asked(plan) <= leaves + 1 + -(-leaves // FAN_IN)
    assert sorted(plan.order) == items
    start = 0
    for size_, node in zip(plan.sizes, plan.kept, strict=False):
        shown = tuple(items[n] for n in plan.order[start : start + size_])
        assert node is None or known[node].items == shown
        start += size_


def test_leaves_that_take_turns_are_kept():
    """The tree of a set whose left-out items were asked about later."""
    items = list(range(240))
    asked_first, asked_later = items[::2], items[1::2]
    leaves = [asked_first[:60], asked_first[60:], asked_later[:60], asked_later[60:]]
    leaves.sort(key=min)
    children = tuple(
        OldNode(n, items=tuple(leaf), span=(leaf[0], leaf[-1]))
        for n, leaf in enumerate(leaves, start=1)
    )
    old = OldNode(9, children=children)
    assert asked(again(items, old)) == 0
    grown = again([*items, 240], old)
    assert asked(grown) == 2  # the leaf of the new one, and the root
    apart_from_turns = OldNode(9, children=tuple(OldNode(c.id, c.items) for c in children))
    lost = again(items, apart_from_turns)
    assert lost is None or asked(lost) > 2  # without their spans they would be out of order
