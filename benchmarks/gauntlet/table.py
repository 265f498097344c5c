"""The gauntlet's output."""

from __future__ import annotations

from collections.abc import Sequence

from tests.support.faults.judge import Figures

HEAD = (
    f"{'row':>8}  {'':4} {'time':>6} {'images':>6} {'nodes':>5} {'calls':>5}"
    f" {'extra':>5} {'flight':>6} {'kills':>5} {'recov':>6}  fault"
)


def line(figures: Figures) -> str:
    """One row. flight: calls in flight at the kills; recov: longest time to recover, seconds."""
    recovery = "" if figures.recovery is None else f"{figures.recovery:.1f} s"
    return (
        f"{figures.row:>8}  {'ok' if figures.passed else 'FAIL':4} {figures.seconds:>4.0f} s"
        f" {figures.images:>6} {figures.nodes:>5} {figures.calls:>5} {figures.extra:>5}"
        f" {figures.allowed:>6} {figures.kills:>5} {recovery:>6}  {figures.title}"
    )


def details(figures: Figures) -> list[str]:
    """A row's notes and the promises it broke, one per line."""
    notes = ", ".join(f"{name} {value}" for name, value in figures.notes.items())
    return [f"{'':10}{text}" for text in ([notes] if notes else []) + figures.broken]


def summary(all_figures: Sequence[Figures]) -> str:
    passed = sum(figures.passed for figures in all_figures)
    return f"{passed} of {len(all_figures)} rows passed"
