"""The plan of the summary tree: every leaf once, few levels, even branches, one root."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.tree.plan import PlannedNode, plan_tree


def widths(tree: list[PlannedNode]) -> list[int]:
    """Number of nodes per level, leaves first."""
    return [sum(node.level == level for node in tree) for level in range(tree[-1].level + 1)]


@pytest.mark.parametrize(
    ("leaves", "fan_in", "nodes"),
    [
        (1, 8, [1]),
        (2, 8, [2, 1]),
        (8, 8, [8, 1]),
        (9, 8, [9, 2, 1]),
        (64, 8, [64, 8, 1]),
        (65, 8, [65, 9, 2, 1]),
        (3, 2, [3, 1, 1]),
        (5, 2, [5, 2, 1, 1]),
        (240, 4, [240, 60, 15, 4, 1]),
        (667, 50, [667, 14, 1]),
    ],
)
def test_levels_are_as_few_as_the_fan_in_allows(leaves, fan_in, nodes):
    assert widths(plan_tree(leaves, fan_in)) == nodes


def test_a_single_child_is_passed_up_instead_of_being_summarised_alone():
    tree = plan_tree(3, 2)
    assert [(node.level, node.parent, node.children) for node in tree] == [
        (0, 3, 0),
        (0, 3, 0),
        (0, 4, 0),
        (1, 4, 2),
        (2, None, 2),
    ]


@pytest.mark.parametrize(("leaves", "fan_in"), [(0, 8), (-1, 8), (3, 1), (3, 0)])
def test_invalid_tree_parameters_are_refused(leaves, fan_in):
    with pytest.raises(ValueError, match="at least one leaf"):
        plan_tree(leaves, fan_in)


@given(st.integers(1, 1_500), st.integers(2, 60))
def test_every_tree_is_complete_balanced_and_within_its_fan_in(leaves, fan_in):
    tree = plan_tree(leaves, fan_in)
    below: dict[int | None, list[int]] = {}
    for index, node in enumerate(tree):
        below.setdefault(node.parent, []).append(index)
    assert below[None] == [len(tree) - 1]
    assert [(n.first, n.last) for n in tree if n.level == 0] == [(i, i) for i in range(leaves)]
    for index, node in enumerate(tree):
        children = sorted((tree[child] for child in below.get(index, ())), key=lambda n: n.first)
        assert node.children == len(children) <= fan_in
        if node.level == 0:
            continue
        assert len(children) >= 2
        assert all(child.level < node.level for child in children)
        assert (children[0].first, children[-1].last) == (node.first, node.last)
        for left, right in pairwise(children):
            assert left.last + 1 == right.first
    sizes: dict[int, set[int]] = {}
    for node in tree:
        sizes.setdefault(node.level, set()).add(node.children)
    assert all(max(found) - min(found) <= 1 for found in sizes.values())


@given(st.integers(2, 1_500), st.integers(2, 60))
def test_the_tree_is_as_flat_as_the_fan_in_allows(leaves, fan_in):
    depth = plan_tree(leaves, fan_in)[-1].level
    assert fan_in ** (depth - 1) < leaves <= fan_in**depth
