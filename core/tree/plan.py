"""The plan of the summary tree: leaves in order, balanced branches above them, one root."""

from __future__ import annotations

from dataclasses import dataclass, replace

from core.tree.packing import groups


@dataclass(frozen=True, slots=True)
class PlannedNode:
    """One node. ``level`` 0 is a leaf; the children are a run of nodes of lower levels."""

    level: int
    parent: int | None  # index into the plan
    first: int  # first leaf below
    last: int  # last leaf below, inclusive
    children: int  # number of direct children; 0 for a leaf
    unit: int | None = None  # number of the unit that it is about a part of


def plan_tree(leaves: int, fan_in: int) -> list[PlannedNode]:
    """Nodes of the smallest balanced tree over ``leaves`` leaves; the root comes last.

    It has the fewest levels that ``fan_in`` (at least 2) allows; siblings differ by at most one
    child.
    """
    if leaves < 1 or fan_in < 2:
        raise ValueError("a tree needs at least one leaf and a fan-in of two")
    nodes = [PlannedNode(0, None, index, index, 0) for index in range(leaves)]
    below, level = list(range(leaves)), 0
    while len(below) > 1:
        level += 1
        below = _add_level(nodes, below, level, fan_in)
    return nodes


def _add_level(nodes: list[PlannedNode], below: list[int], level: int, fan_in: int) -> list[int]:
    """Append branches over the nodes ``below``; returns the indexes of the new level."""
    tops: list[int] = []
    for children in groups(below, fan_in):
        if len(children) == 1:  # a branch over one child would be a paid call that adds nothing
            tops += children
            continue
        first, last = nodes[children[0]].first, nodes[children[-1]].last
        parent = len(nodes)
        nodes.append(PlannedNode(level, None, first, last, len(children)))
        for child in children:
            nodes[child] = replace(nodes[child], parent=parent)
        tops.append(parent)
    return tops
