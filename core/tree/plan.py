"""The shape of the summary tree: leaves in order, balanced branches above, one root."""

from __future__ import annotations

from dataclasses import dataclass

from core.tree.packing import balanced


@dataclass(frozen=True, slots=True)
class PlannedNode:
    """One node: ``level`` 0 is a leaf; children are a run of the level below, [first, last]."""

    level: int
    parent: int | None  # index into the plan
    first: int  # first leaf below
    last: int  # last leaf below, inclusive
    children: int  # nodes right below; 0 for a leaf


def plan_tree(leaves: int, fan_in: int) -> list[PlannedNode]:
    """Nodes of the smallest balanced tree over ``leaves`` leaves; the root is the last.

    Levels are as few as ``fan_in`` (at least 2) allows, and siblings differ by one child at most.
    """
    if leaves < 1 or fan_in < 2:
        raise ValueError("a tree needs at least one leaf and a fan-in of two")
    spans = [(index, index) for index in range(leaves)]
    nodes = [PlannedNode(0, None, first, last, 0) for first, last in spans]
    below, level = list(range(leaves)), 0
    while len(below) > 1:
        level += 1
        below = _add_level(nodes, below, level, fan_in)
    return nodes


def _add_level(nodes: list[PlannedNode], below: list[int], level: int, fan_in: int) -> list[int]:
    made: list[int] = []
    start = 0
    for size in balanced(len(below), -(-len(below) // fan_in)):
        children = below[start : start + size]
        start += size
        if size == 1:  # a branch over one child would be a paid call that adds nothing
            made.append(children[0])
            continue
        parent = len(nodes)
        nodes.append(
            PlannedNode(level, None, nodes[children[0]].first, nodes[children[-1]].last, size)
        )
        for child in children:
            node = nodes[child]
            nodes[child] = PlannedNode(node.level, parent, node.first, node.last, node.children)
        made.append(parent)
    return made
