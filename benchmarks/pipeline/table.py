"""The tables on the terminal."""

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
        "When (s after the command was started), and what overlaps",
        ["images", "tier", "first image", "first answer", "last image", "end", "stop",
         "images to come at first call", "leaf late", "parent late"],
        [
            [r.size, r.tier, r.start, r.first_answer, r.last_prepared, r.finished, r.stop,
             r.unprepared_at_first_call, r.leaf_late, r.parent_late]
            for r in rows
        ],
    )  # fmt: skip
    show(
        console,
        "CPU an image (ms): bare image work, all else of ours; sandbox; MB at peak; bytes an image;"
        " CPU of nobody of ours (s)",
        ["images", "tier", "image work", "else", "share", "sandbox", "command", "preprocess",
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
    *("cores had", "bound there", "x", "schedule there", "x"),
    *("script", "x", "shrinking script", "x"),
)


def _wall(r: Row) -> Sequence[Any]:
    """Seconds, each least time with what sets it and how many times it the job took."""
    return (
        r.size, r.tier, r.wall, r.bound, r.binds, r.ratio,
        r.schedule, r.schedule_binds, r.schedule_ratio,
        r.cores, r.bound_here, r.ratio_here, r.schedule_here, r.schedule_ratio_here,
        _script(r.plain), _or_blank(r.times_plain),
        _script(r.shrinking), _or_blank(r.times_shrinking),
    )  # fmt: skip


def _title(rows: Sequence[Row]) -> str:
    one = rows[0]
    kinds = {row.side: row.picture_bytes for row in rows}
    of = "; ".join(f"{side} x {side * 3 // 4}, {kinds[side] / 1000:,.0f} kB" for side in kinds)
    return (
        "Wall time (s) beside the longest of the separate bounds, and beside the best schedule"
        f" under all limits at once.\nCalls of {one.latency_seconds:g} s, windows of"
        f" {one.window_seconds:g} s; pictures of {of}. 'There': on the cores that others left"
    )


def show_noop(console: Console, noop: Noop) -> None:
    show(
        console,
        "Bare Celery on the same Valkey: a task that does nothing",
        ["messages/s", "CPU to send, ms", "CPU to run, ms"],
        [[round(noop.per_second), noop.send_cpu * 1000, noop.run_cpu * 1000]],
    )


def show_growth(console: Console, costs: Sequence[Cost]) -> None:
    small, large = costs
    show(
        console,
        "CPU an image (us) as a job grows, with stand-ins for pictures and endpoint;"
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
