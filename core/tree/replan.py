"""Plans a changed set from the tree of an earlier one, so that unchanged parts cost no calls.

A fresh plan with one more image would move the borders of nearly all leaves. Here the borders of
the earlier tree stay: a new image joins the leaf of its neighbour, a removed one leaves a smaller
leaf. Only these leaves and the nodes above them change. As in a B-tree, a leaf or branch that would
exceed its limit is divided.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator, Sequence
from dataclasses import dataclass, field

from core.tree.packing import Budget, Weight, cut, fits, groups, pack
from core.tree.plan import PlannedNode

WORN_FACTOR = 1.25
WORN_LEAVES = 2
"""A tree is planned afresh if it has more leaves than the fewest possible times WORN_FACTOR, and
more than the fewest possible plus WORN_LEAVES."""


@dataclass(frozen=True, slots=True)
class OldNode:
    """A node of the earlier tree: ``items`` of a leaf or ``children`` of a branch, in order.

    ``settled``: it has a text, which may be kept if nothing below it has changed. ``span``: the
    positions of its first and last item; where those of leaves overlap, the leaves take turns.
    """

    id: int
    items: tuple[Hashable, ...] = ()
    children: tuple[OldNode, ...] = ()
    settled: bool = True
    span: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class Replanned:
    """A plan like that of core.tree.plan. ``sizes``: items in each leaf. ``kept``: for each node
    the id of the earlier node with the same content and place in the tree, or None."""

    tree: list[PlannedNode]
    sizes: list[int]
    kept: list[int | None]
    order: list[int] = field(
        default_factory=list
    )  # indexes of the items, leaf by leaf; []: in order


@dataclass(slots=True)
class _Node:
    """A node of the new plan; ``items`` are indexes."""

    items: list[int] = field(default_factory=list)
    children: list[_Node] = field(default_factory=list)
    kept: int | None = None
    level: int = 0
    span: tuple[int, int] = (0, 0)  # numbers of its first and last leaf


def replan(
    items: Sequence[Hashable],
    weights: Sequence[Weight],
    old: OldNode,
    budget: Budget,
    fan_in: int,
    apart: Collection[int] = (),
    roles: bool = True,
) -> Replanned | None:
    """The plan over ``items`` that keeps as much of ``old`` as possible.

    ``items`` are distinct; ``weights`` is parallel to them. ``apart``: indexes of new items that
    join no earlier leaf: where many of them stand among its items, all would be asked about again.
    They have leaves of their own beside the topmost branches, so no earlier branch changes either.
    ``roles``: whether the root's text differs from what another node says of the same items.
    None if nothing can be kept, or if changes have left so many small leaves that a fresh plan is
    better.
    """
    leaves = _Leaves(items, weights, old, budget, apart)
    roots = _beside(_rebuilt(old, leaves.by_old, fan_in), leaves.apart, fan_in)
    while len(roots) > 1:
        roots = _divided(roots, fan_in)
    if not roots:
        return None
    root = roots[0]
    if roles:
        _drop_changed_roles(root, old.id)
    plan = _flat(root)
    fewest = len(pack(weights, budget))
    worn = len(plan.sizes) > max(fewest * WORN_FACTOR, fewest + WORN_LEAVES)
    return None if worn or not any(plan.kept) else plan


class _Leaves:
    """``by_old``: the new leaves that replace each old leaf, by the id of the old one. ``apart``:
    those of the items that join none."""

    def __init__(
        self,
        items: Sequence[Hashable],
        weights: Sequence[Weight],
        old: OldNode,
        budget: Budget,
        apart: Collection[int],
    ) -> None:
        self._items, self._weights, self._budget = items, weights, budget
        self._old = list(_leaves_of(old))
        self.apart = self._packed(sorted(apart))
        self.by_old: dict[int, list[_Node]] = {}
        self._place(self._segments(apart))

    def _segments(self, apart: Collection[int]) -> list[tuple[int | None, list[int]]]:
        """The items in order as runs: (number of their old leaf, or None for new items; indexes).
        An item that now comes after a later leaf counts as new, since leaves keep input order."""
        old_leaf = {item: n for n, leaf in enumerate(self._old) for item in leaf.items}
        segments: list[tuple[int | None, list[int]]] = []
        highest = 0
        for index, item in enumerate(self._items):
            if index in apart:
                continue
            leaf = old_leaf.get(item)
            if leaf is not None and leaf < highest and not self._take_turns(leaf, highest):
                leaf = None
            highest = highest if leaf is None else max(leaf, highest)
            if not segments or segments[-1][0] != leaf:
                segments.append((leaf, []))
            segments[-1][1].append(index)
        return segments

    def _take_turns(self, leaf: int, later: int) -> bool:
        return self._old[later].span[0] < self._old[leaf].span[1]

    def _place(self, segments: list[tuple[int | None, list[int]]]) -> None:
        """Give each run of new items to a neighbour with room, else to leaves of its own."""
        grown: dict[int, list[int]] = {}  # by old leaf: the items it now has
        own: dict[int, list[int]] = {}  # by old leaf: new items after it that no neighbour can take
        before = -1
        for n, (leaf, run) in enumerate(segments):
            if leaf is not None:
                grown.setdefault(leaf, []).extend(run)
                before = leaf
                continue
            after = segments[n + 1][0] if n + 1 < len(segments) else None
            inside = after is not None and after == before  # in the middle of a leaf
            if inside or (before >= 0 and self._fit([*grown[before], *run])):
                grown[before].extend(run)
            elif after is not None and self._fit([*run, *segments[n + 1][1]]):
                grown[after] = list(run)
            else:
                own.setdefault(before, []).extend(run)
        self._build(grown, own)

    def _build(self, grown: dict[int, list[int]], own: dict[int, list[int]]) -> None:
        for n, leaf in enumerate(self._old):
            nodes = self._packed(own.get(-1, [])) if n == 0 else []
            for node in self._packed(grown.get(n, [])):
                same = tuple(self._items[i] for i in node.items) == leaf.items
                node.kept = leaf.id if same and leaf.settled else None
                nodes.append(node)
            self.by_old[leaf.id] = nodes + self._packed(own.get(n, []))

    def _packed(self, run: list[int]) -> list[_Node]:
        packs = cut(run, [self._weights[i] for i in run], self._budget)
        return [_Node(items=items) for items in packs]

    def _fit(self, run: list[int]) -> bool:
        return fits([self._weights[i] for i in run], self._budget)


def _leaves_of(node: OldNode) -> Iterator[OldNode]:
    if not node.children:
        yield node
    for child in node.children:
        yield from _leaves_of(child)


def _rebuilt(node: OldNode, leaves: dict[int, list[_Node]], fan_in: int) -> list[_Node]:
    """The new nodes that replace an old one: none, the same, or several."""
    if not node.children:
        return leaves[node.id]
    children = [new for child in node.children for new in _rebuilt(child, leaves, fan_in)]
    if len(children) < 2:  # a branch over one child would be a paid call that adds nothing
        return children
    same = [child.kept for child in children] == [child.id for child in node.children]
    if same:
        return [_Node(children=children, kept=node.id if node.settled else None)]
    return _divided(children, fan_in)


def _beside(roots: list[_Node], apart: list[_Node], fan_in: int) -> list[_Node]:
    """The topmost nodes, and those over the leaves ``apart`` beside them."""
    if not apart:
        return roots
    tops = roots[0].children if len(roots) == 1 and roots[0].children else roots
    while len(apart) > 1 and len(tops) + len(apart) > fan_in:
        apart = _divided(apart, fan_in)
    return [*tops, *apart]


def _divided(children: list[_Node], fan_in: int) -> list[_Node]:
    return [
        _Node(children=below) if len(below) > 1 else below[0] for below in groups(children, fan_in)
    ]


def _drop_changed_roles(root: _Node, old_root: int) -> None:
    """Keep no text across roles: a root answers the question, other nodes take notes."""
    if root.kept != old_root:
        root.kept = None
    below = list(root.children)
    while below:
        node = below.pop()
        if node.kept == old_root:
            node.kept = None
        below.extend(node.children)


def _flat(root: _Node) -> Replanned:
    """The plan: leaves first and in order, then branches level by level, the root last."""
    leaves: list[_Node] = []
    order = sorted(_measured(root, leaves), key=lambda node: (node.level, node.span))
    number = {id(node): n for n, node in enumerate(order)}
    parents = {id(child): number[id(node)] for node in order for child in node.children}
    tree = [
        PlannedNode(node.level, parents.get(id(node)), *node.span, len(node.children))
        for node in order
    ]
    items = [index for leaf in leaves for index in leaf.items]
    return Replanned(
        tree, [len(leaf.items) for leaf in leaves], [node.kept for node in order], items
    )


def _measured(node: _Node, leaves: list[_Node]) -> list[_Node]:
    """``node`` and all nodes below it, with level and span set. Adds its leaves to ``leaves``."""
    first = len(leaves)
    if not node.children:
        leaves.append(node)
    below = [inner for child in node.children for inner in _measured(child, leaves)]
    node.level = 1 + max((child.level for child in node.children), default=-1)
    node.span = (first, len(leaves) - 1)
    return [*below, node]
