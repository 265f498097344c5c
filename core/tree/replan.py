"""Planning a changed set from the tree of an earlier one, so that what stayed is not asked again.

A fresh plan over one image more would move the borders of nearly all leaves. Here the borders of
the earlier tree stay where they are: a new image joins the leaf of its neighbour, a removed one
leaves a smaller leaf behind, and only these leaves and what is above them change (as in a B-tree:
a leaf or branch that would be over its limit is divided).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field

from core.tree.packing import Budget, Weight, balanced, fits, pack
from core.tree.plan import PlannedNode

WORN_FACTOR = 1.25
WORN_LEAVES = 2
"""A tree with more leaves than this times (and this plus) the fewest possible is planned afresh."""


@dataclass(frozen=True, slots=True)
class OldNode:
    """A node of the earlier tree: ``items`` of a leaf or ``children`` of a branch, in order.

    ``settled``: it has a text, which may be kept where nothing below it has changed.
    """

    id: int
    items: tuple[Hashable, ...] = ()
    children: tuple[OldNode, ...] = ()
    settled: bool = True


@dataclass(frozen=True, slots=True)
class Replanned:
    """A plan as core.tree.plan makes it, with the number of items in each leaf. ``kept``: for each
    node the id of the earlier node with the same content and place in the tree, or None."""

    tree: list[PlannedNode]
    sizes: list[int]
    kept: list[int | None]


@dataclass(slots=True)
class _Node:
    """A node of the plan in the making; ``items`` are indexes."""

    items: list[int] = field(default_factory=list)
    children: list[_Node] = field(default_factory=list)
    kept: int | None = None


def replan(
    items: Sequence[Hashable],
    weights: Sequence[Weight],
    old: OldNode,
    budget: Budget,
    fan_in: int,
) -> Replanned | None:
    """The plan over ``items`` that keeps most of ``old``.

    ``weights`` is parallel to ``items``, which are distinct. None where nothing could be kept, or
    the tree has worn so thin by changes that a fresh plan is better.
    """
    made = _Leaves(items, weights, old, budget).made
    roots = _rebuilt(old, made, fan_in)
    while len(roots) > 1:
        roots = _divided(roots, fan_in)
    if not roots:
        return None
    root = roots[0]
    _drop_changed_parts(root, old.id)
    plan = _flat(root)
    fewest = len(pack(weights, budget))
    worn = len(plan.sizes) > max(fewest * WORN_FACTOR, fewest + WORN_LEAVES)
    return None if worn or not any(plan.kept) else plan


class _Leaves:
    """The new leaves that take the place of each old one, by the old one's id."""

    def __init__(
        self, items: Sequence[Hashable], weights: Sequence[Weight], old: OldNode, budget: Budget
    ) -> None:
        self._items, self._weights, self._budget = items, weights, budget
        self._old = list(_leaves_of(old))
        self.made: dict[int, list[_Node]] = {leaf.id: [] for leaf in self._old}
        self._place(self._segments())

    def _segments(self) -> list[tuple[int | None, list[int]]]:
        """Runs of items of the same old leaf, in order, and None for runs of new ones. What comes
        back behind a later leaf counts as new: leaves are runs in input order."""
        home = {item: n for n, leaf in enumerate(self._old) for item in leaf.items}
        segments: list[tuple[int | None, list[int]]] = []
        highest = 0
        for index, item in enumerate(self._items):
            leaf = home.get(item)
            if leaf is not None and leaf < highest:
                leaf = None
            highest = highest if leaf is None else leaf
            if not segments or segments[-1][0] != leaf:
                segments.append((leaf, []))
            segments[-1][1].append(index)
        return segments

    def _place(self, segments: list[tuple[int | None, list[int]]]) -> None:
        """Give each run of new items to a neighbour with room, or leaves of its own."""
        whole: dict[int, list[int]] = {}  # what old leaf n becomes
        own: dict[int, list[int]] = {}  # new items between leaf n and the next, without room there
        before = -1
        for n, (leaf, run) in enumerate(segments):
            if leaf is not None:
                whole.setdefault(leaf, []).extend(run)
                before = leaf
                continue
            after = segments[n + 1][0] if n + 1 < len(segments) else None
            inside = after is not None and after == before  # in the middle of a leaf
            if inside or (before >= 0 and self._fit([*whole[before], *run])):
                whole[before].extend(run)
            elif after is not None and self._fit([*run, *segments[n + 1][1]]):
                whole[after] = list(run)
            else:
                own.setdefault(before, []).extend(run)
        self._make(whole, own)

    def _make(self, whole: dict[int, list[int]], own: dict[int, list[int]]) -> None:
        for n, leaf in enumerate(self._old):
            nodes = self._packed(own.get(-1, [])) if n == 0 else []
            for node in self._packed(whole.get(n, [])):
                same = tuple(self._items[i] for i in node.items) == leaf.items
                node.kept = leaf.id if same and leaf.settled else None
                nodes.append(node)
            self.made[leaf.id] = nodes + self._packed(own.get(n, []))

    def _packed(self, run: list[int]) -> list[_Node]:
        nodes, start = [], 0
        for size in pack([self._weights[i] for i in run], self._budget):
            nodes.append(_Node(items=run[start : start + size]))
            start += size
        return nodes

    def _fit(self, run: list[int]) -> bool:
        return fits([self._weights[i] for i in run], self._budget)


def _leaves_of(node: OldNode) -> Iterator[OldNode]:
    if not node.children:
        yield node
    for child in node.children:
        yield from _leaves_of(child)


def _rebuilt(node: OldNode, made: dict[int, list[_Node]], fan_in: int) -> list[_Node]:
    """What takes the place of an old node: nothing, itself, or several."""
    if not node.children:
        return made[node.id]
    children = [new for child in node.children for new in _rebuilt(child, made, fan_in)]
    if len(children) < 2:  # a branch over one child would be a paid call that adds nothing
        return children
    same = [child.kept for child in children] == [child.id for child in node.children]
    if same:
        return [_Node(children=children, kept=node.id if node.settled else None)]
    return _divided(children, fan_in)


def _divided(children: list[_Node], fan_in: int) -> list[_Node]:
    nodes, start = [], 0
    for size in balanced(len(children), -(-len(children) // fan_in)):
        below = children[start : start + size]
        nodes.append(_Node(children=below) if size > 1 else below[0])
        start += size
    return nodes


def _drop_changed_parts(root: _Node, old_root: int) -> None:
    """A root answers and the others take notes: a text is kept only for the same part."""
    if root.kept is not None and root.kept != old_root:
        root.kept = None
    below = list(root.children)
    while below:
        node = below.pop()
        if node.kept == old_root:
            node.kept = None
        below.extend(node.children)


def _flat(root: _Node) -> Replanned:
    """Leaves first and in order, then branches from below, the root last."""
    order: list[_Node] = []
    levels: dict[int, int] = {}
    spans: dict[int, tuple[int, int]] = {}
    leaves: list[_Node] = []
    _measure(root, levels, spans, leaves, order)
    order.sort(key=lambda node: (levels[id(node)], spans[id(node)]))
    number = {id(node): n for n, node in enumerate(order)}
    parents = {id(child): number[id(node)] for node in order for child in node.children}
    tree = [
        PlannedNode(levels[id(node)], parents.get(id(node)), *spans[id(node)], len(node.children))
        for node in order
    ]
    return Replanned(tree, [len(leaf.items) for leaf in leaves], [node.kept for node in order])


def _measure(
    node: _Node,
    levels: dict[int, int],
    spans: dict[int, tuple[int, int]],
    leaves: list[_Node],
    order: list[_Node],
) -> None:
    first = len(leaves)
    if not node.children:
        leaves.append(node)
    for child in node.children:
        _measure(child, levels, spans, leaves, order)
    levels[id(node)] = 1 + max((levels[id(child)] for child in node.children), default=-1)
    spans[id(node)] = (first, len(leaves) - 1)
    order.append(node)
