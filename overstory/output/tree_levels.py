"""The summary tree of a running job: one line of coloured cells for each level."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from core.states import NodeStatus

CELLS = 64
GLYPHS = {
    NodeStatus.FAILED: ("✕", "red"),
    NodeStatus.RUNNING: ("▶", "yellow"),
    NodeStatus.READY: ("▷", "yellow"),
    NodeStatus.WAITING: ("·", "dim"),
    NodeStatus.CANCELLED: ("✕", "dim"),
    NodeStatus.DONE: ("■", "green"),
}
"""A cell that stands for several nodes shows the status that comes first here."""
PRECEDENCE = list(GLYPHS)


def draw_levels(levels: Sequence[Sequence[NodeStatus]]) -> RenderableType:
    """A line for each level, the root at the top. ``levels``: node statuses, leaves first."""
    grid = Table.grid(padding=(0, 2))
    for height in reversed(range(len(levels))):
        nodes = levels[height]
        name = "answer" if height == len(levels) - 1 else "leaves" if height == 0 else "summaries"
        done = sum(status == NodeStatus.DONE for status in nodes)
        glyphs = Text.assemble(*(GLYPHS[status] for status in cells(nodes, CELLS)))
        grid.add_row(f"{name:>9}", glyphs, f"{done:,}/{len(nodes):,}")
    return grid


def cells(nodes: Sequence[NodeStatus], most: int) -> list[NodeStatus]:
    """One status for each node, or for each of ``most`` groups of neighbouring nodes."""
    if len(nodes) <= most:
        return list(nodes)
    edges = [len(nodes) * cell // most for cell in range(most + 1)]
    groups = [nodes[start:end] for start, end in pairwise(edges)]
    return [min(group, key=PRECEDENCE.index) for group in groups]
