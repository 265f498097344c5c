"""The tables for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.pipeline.baselines import Noop
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
    show(console, _title(rows), _WALL, [_wall(r) for r in rows])
    show(
        console,
        "Times (s after the start of the command), and overlap of the stages",
        ["images", "tier", "first image", "first answer", "last image", "end", "stop",
         "images not prepared at first call", "leaf delay", "parent delay"],
        [
            [r.size, r.tier, r.start, r.first_answer, r.last_prepared, r.finished, r.stop,
             r.unprepared_at_first_call, r.leaf_late, r.parent_late]
            for r in rows
        ],
    )  # fmt: skip
    show(
        console,
        "CPU per image (ms): bare image work, our other work, sandbox; peak MB; bytes per image;"
        " CPU of other processes (s)",
        ["images", "tier", "image work", "other", "share", "sandbox", "command", "preprocess",
         "upload", "infer", "broker", "database", "messages", "429", "load", "others"],
        [
            [r.size, r.tier, r.bare_ms, r.other_ms, f"{r.other_ms / r.bare_ms:.0%}",
             r.sandbox_cpu / r.images * 1000,
             *(round(r.peak_bytes.get(n, 0) / MB)
               for n in ("command", "preprocess", "upload", "infer", "broker")),
             round(r.database_bytes), round(r.broker_bytes), r.refused, r.load, r.others_cpu]
            for r in rows
        ],
    )  # fmt: skip


_WALL = (
    *("images", "tier", "wall", "bound", "by", "x", "schedule", "by", "x"),
    *("cores left", "bound on them", "x", "schedule on them", "x"),
    *("script", "x", "shrinking script", "x"),
)


def _wall(r: Row) -> Sequence[Any]:
    """Wall seconds; each least time with its limit and the ratio of wall time to it."""
    return (
        r.size, r.tier, r.wall, r.bound, r.binds, r.ratio,
        r.schedule, r.schedule_binds, r.schedule_ratio,
        r.cores, r.bound_here, r.ratio_here, r.schedule_here, r.schedule_ratio_here,
        _script(r.plain), _or_blank(r.times_plain),
        _script(r.shrinking), _or_blank(r.times_shrinking),
    )  # fmt: skip


def _title(rows: Sequence[Row]) -> str:
    first = rows[0]
    kinds = {row.side: row.picture_bytes for row in rows}
    pictures = "; ".join(
        f"{side} x {side * 3 // 4}, {kinds[side] / 1000:,.0f} kB" for side in kinds
    )
    return (
        "Wall time (s) beside the largest of the separate bounds and beside the best schedule under"
        f" all limits at once.\nCalls of {first.latency_seconds:g} s, windows of"
        f" {first.window_seconds:g} s; pictures: {pictures}. 'Cores left': by other processes"
    )


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


def _script(script: dict[str, Any] | None) -> str:
    return "" if script is None else f"{'~' if script['stopped'] else ''}{script['seconds']:.1f}"


def _or_blank(value: float | None) -> Any:
    return "" if value is None else value


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.2f}" if abs(value) < 100 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
