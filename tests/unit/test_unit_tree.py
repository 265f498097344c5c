"""Leaves of whole units, divided and put below branches, for any sizes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from core.tree.packing import Budget, Weight, fits, pack, runs
from core.tree.plan import plan_tree
from core.tree.units import divided, halved, together, with_parts

units_of = st.lists(st.integers(1, 9), min_size=1, max_size=12).map(
    lambda sizes: [unit for unit, size in enumerate(sizes, 1) for _ in range(size)]
)


def are_whole(groups: list[list[int]], units: list[int]) -> bool:
    """Whether no two groups have images of one unit; images are their own indices."""
    seen = [{units[image] for image in group} for group in groups]
    return sum(map(len, seen)) == len(set().union(*seen))


@given(units_of.filter(lambda units: len(units) > 1))
def test_a_leaf_is_halved_between_units(units: list[int]) -> None:
    division = halved(range(len(units)), units)
    first, second = division.groups
    assert [*first, *second] == list(range(len(units)))
    assert first
    assert second
    if division.unit is None:
        assert are_whole(division.groups, units)
    else:
        assert set(units) == {division.unit}
        assert abs(len(first) - len(second)) <= 1


@given(units_of, st.integers(1, 12))
def test_a_leaf_is_divided_into_leaves_that_fit_or_hold_one_unit(
    units: list[int], most: int
) -> None:
    budget = Budget(most, 10**6, 10**6)
    weights = [Weight(1, 1)] * len(units)
    division = divided(range(len(units)), units, weights, budget)
    assert [image for group in division.groups for image in group] == list(range(len(units)))
    if division.unit is None:
        assert are_whole(division.groups, units)
        for group in division.groups:
            assert len(group) <= most or len({units[image] for image in group}) == 1
    else:
        assert all(len(group) <= most for group in division.groups)


@given(st.lists(st.integers(1, 15), min_size=1, max_size=40), st.integers(1, 8), st.integers(2, 5))
def test_every_unit_has_one_node_that_answers_for_it(
    sizes: list[int], most: int, fan_in: int
) -> None:
    budget = Budget(most, 10**6, 10**6)
    weights = [together([Weight(1, 1)] * size) for size in sizes]
    packs = runs(range(1, len(sizes) + 1), pack(weights, budget))
    images = [sum(sizes[unit - 1] for unit in some) for some in packs]
    parts = {
        number: pack([Weight(1, 1)] * images[number], budget)
        for number, some in enumerate(packs)
        if not fits([Weight(1, 1)] * images[number], budget)
    }
    alone = {number: packs[number][0] for number in parts}
    tree = plan_tree(len(packs), fan_in)
    planned = with_parts(tree, images, parts, alone, fan_in)
    nodes = planned.tree

    assert sum(planned.sizes) == sum(sizes)
    assert all(size <= most for size in planned.sizes)
    *below, root = nodes
    assert (root.parent, root.unit) == (None, None)
    assert root.children
    assert all(node.parent is not None for node in below)
    assert (root.first, root.last) == (0, len(planned.sizes) - 1)
    leaves = [node for node in nodes if not node.children]
    assert leaves == nodes[: len(leaves)]
    for index, node in enumerate(nodes):
        children = [child for child in nodes if child.parent == index]
        assert len(children) == node.children
        assert all(child.level < node.level for child in children)
        if children:
            assert min(child.first for child in children) == node.first
            assert max(child.last for child in children) == node.last
    tops = [n.unit for n in nodes if n.unit and n.parent is not None and not nodes[n.parent].unit]
    assert sorted(tops) == sorted(alone.values())
    for place, node in zip(planned.nodes, tree, strict=True):
        assert (nodes[place].unit is None) or not node.children


def test_units_are_packed_by_the_places_that_they_take() -> None:
    sizes = [9, 9, 9, 9, 9, 9, 9, 5, 5, 1]
    weights = [together([Weight(1, 1)] * size) for size in sizes]
    packed = pack(weights, Budget(60, 10**6, 10**6))
    assert [sum(some) for some in runs(sizes, packed)] == [36, 38]
