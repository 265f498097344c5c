"""The table of ``make bench-failover``."""

from __future__ import annotations

from collections.abc import Sequence

from tests.support.faults.judge import Figures

HEAD = (
    f"{'row':>12}  {'':4} {'goes on':>8} {'flight':>6} {'twice':>5} {'lost':>5}"
    f" {'row took':>8}  what was done"
)


def line(figures: Figures) -> str:
    """One row. goes on: seconds from the fault to the next recorded step; flight: calls in flight
    at the faults; twice: calls paid twice; lost: images that are not included."""
    went_on = "" if figures.recovery is None else f"{figures.recovery:.1f} s"
    return (
        f"{figures.row:>12}  {'ok' if figures.passed else 'FAIL':4} {went_on:>8}"
        f" {figures.allowed:>6} {figures.extra:>5} {figures.notes.get('images_lost', ''):>5}"
        f" {figures.seconds:>6.0f} s  {figures.title}"
    )


def details(figures: Figures) -> list[str]:
    """A row's other figures and the promises it broke, one per line."""
    notes = ", ".join(f"{name} {value}" for name, value in figures.notes.items())
    return [f"{'':14}{text}" for text in ([notes] if notes else []) + figures.broken]


def summary(all_figures: Sequence[Figures], skipped: int) -> str:
    passed = sum(figures.passed for figures in all_figures)
    skips = f", {skipped} skipped" if skipped else ""
    return f"{passed} of {len(all_figures)} rows passed{skips}"
