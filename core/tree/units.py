"""Leaves of whole units, and the trees over units that no request can hold.

A leaf holds whole units, or images of one unit alone; then it stands below the branch that answers
for this unit. So every unit has one node that answers for it, whatever is refused or divided.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, groupby
from typing import Generic, TypeVar

from core.tree.packing import Budget, Weight, cut, halves, runs
from core.tree.plan import PlannedNode, plan_tree

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Division(Generic[Item]):
    """What replaces a leaf: a leaf for each of ``groups``. ``unit``: the one whose parts they are,
    None if they hold whole units."""

    groups: list[list[Item]]
    unit: int | None


def halved(items: Sequence[Item], units: Sequence[int | None]) -> Division[Item]:
    """``items`` in two leaves, between two units if there are several; ``units``, parallel to
    them, are their units (None: of a job without)."""
    sizes = _runs(units)
    if len(sizes) == 1:
        return Division(halves(items), units[0])
    middle = len(items) / 2
    border = min(accumulate(sizes[:-1]), key=lambda border: abs(border - middle))
    return Division([list(items[:border]), list(items[border:])], None)


def divided(
    items: Sequence[Item],
    units: Sequence[int | None],
    weights: Sequence[Weight],
    budget: Budget,
) -> Division[Item]:
    """``items`` in leaves within ``budget``, between units if there are several. A unit that does
    not fit has a leaf of its own, which is divided when it is the only one."""
    sizes = _runs(units)
    if len(sizes) == 1:
        return Division(cut(items, weights, budget), units[0])
    whole = cut(runs(items, sizes), [together(some) for some in runs(weights, sizes)], budget)
    return Division([[item for unit in leaf for item in unit] for leaf in whole], None)


def together(weights: Sequence[Weight]) -> Weight:
    """The weight of a unit whose images have ``weights``."""
    return Weight(
        sum(w.bytes for w in weights),
        sum(w.tokens for w in weights),
        sum(w.items for w in weights),
    )


def _runs(units: Sequence[int | None]) -> list[int]:
    """The number of images of each unit, in order; the images of a unit follow each other."""
    return [len(list(run)) for _, run in groupby(units)]


@dataclass(frozen=True, slots=True)
class UnitTree:
    """A plan. ``sizes``: images in each leaf. ``nodes``: for each node of the plan over packs, its
    index here; a pack that is divided became a branch."""

    tree: list[PlannedNode]
    sizes: list[int]
    nodes: list[int]


def with_parts(
    tree: Sequence[PlannedNode],
    sizes: Sequence[int],
    parts: Mapping[int, Sequence[int]],
    units: Mapping[int, int],
    fan_in: int,
) -> UnitTree:
    """The plan ``tree`` over packs of whole units with a branch above everything, so that no leaf
    is the root, and with a tree of ``fan_in`` in place of each pack that no request can hold.

    ``sizes``: images in each pack; ``parts``: by pack, the images in each of its leaves; ``units``:
    by pack, the number of the only unit in it.
    """
    packs = len(sizes)
    in_leaves = [list(parts.get(number, [sizes[number]])) for number in range(packs)]
    starts = list(accumulate(map(len, in_leaves), initial=0))
    nodes = [PlannedNode(0, None, leaf, leaf, 0) for leaf in range(starts[-1])]
    places = list(starts[:-1])
    for number in parts:
        places[number] = _add_unit(nodes, starts[number], len(parts[number]), fan_in, units[number])
    places += range(len(nodes), len(nodes) + len(tree) - packs)
    below: dict[int, list[int]] = {}
    for index, node in enumerate(tree):
        if node.parent is not None:
            below.setdefault(node.parent, []).append(places[index])
    for index in range(packs, len(tree)):
        _add_branch(nodes, below[index])
    if packs == len(tree):
        _add_branch(nodes, places)
    return UnitTree(nodes, [size for some in in_leaves for size in some], places)


def _add_unit(nodes: list[PlannedNode], start: int, leaves: int, fan_in: int, unit: int) -> int:
    """Add the branches over the leaves of one unit; returns the index of the topmost."""
    planned = plan_tree(leaves, fan_in)
    base = len(nodes)
    places = [start + n if n < leaves else base + n - leaves for n in range(len(planned))]
    nodes += planned[leaves:]
    for place, node in zip(places, planned, strict=True):
        nodes[place] = replace(
            node,
            parent=None if node.parent is None else places[node.parent],
            first=start + node.first,
            last=start + node.last,
            unit=unit,
        )
    return places[-1]


def _add_branch(nodes: list[PlannedNode], children: Sequence[int]) -> None:
    """Add a branch over nodes. Its level leaves one below it, for a leaf that is divided later."""
    level = max(1, *(nodes[child].level for child in children)) + 1
    first = min(nodes[child].first for child in children)  # a leaf may stand beside a branch
    last = max(nodes[child].last for child in children)
    for child in children:
        nodes[child] = replace(nodes[child], parent=len(nodes))
    nodes.append(PlannedNode(level, None, first, last, len(children)))
