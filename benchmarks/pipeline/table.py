"""The tables for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.pipeline.baselines import Noop
from benchmarks.pipeline.columns import TABLES, conditions, lines
from benchmarks.pipeline.growth import Cost
from benchmarks.pipeline.rows import Row

MB = 1e6


def show(
    console: Console, title: str, names: Sequence[str], lines: Sequence[Sequence[Any]]
) -> None:
    console.print(title, style="bold", highlight=False)
    table = Table(box=None, pad_edge=False)
    for name in names:
        table.add_column(name, justify="right", no_wrap=False)
    for line in lines:
        table.add_row(*(_text(value) for value in line))
    console.print(table)
    console.print()


def show_rows(console: Console, rows: Sequence[Row]) -> None:
    values = [asdict(row) for row in rows]
    console.print(conditions(values), highlight=False)
    for title, columns in TABLES:
        show(console, title, [name for name, _ in columns], lines(columns, values))


def show_noop(console: Console, noop: Noop) -> None:
    show(
        console,
        "Bare Celery on the same Valkey: an empty task",
        ["messages/s", "CPU to send, ms", "CPU to run, ms"],
        [[round(noop.per_second), noop.send_cpu * 1000, noop.run_cpu * 1000]],
    )


def show_growth(console: Console, costs: Sequence[Cost]) -> None:
    small, large = costs
    show(
        console,
        "CPU per image (us) of a small and a large job, with fake pictures and endpoint;"
        f" memory grew by {small.grown_bytes / MB:.1f} and {large.grown_bytes / MB:.1f} MB",
        ["", f"{small.images:,}", f"{large.images:,}", "ratio"],
        [
            *([name, small.micros[name], large.micros[name],
               large.micros[name] / small.micros[name]] for name in small.micros),
            *([f"SQL statements: {name}", small.statements[name], large.statements[name],
               large.statements[name] / small.statements[name]] for name in small.statements),
        ],
    )  # fmt: skip


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.2f}" if abs(value) < 100 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
