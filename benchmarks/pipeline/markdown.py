"""The tables for docs/performance.md, from a results.json.

python -m benchmarks.pipeline.markdown [benchmarks/out/results.json]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Row = dict[str, Any]
Column = tuple[str, Callable[[Row], str]]

PARTS = ("command", "preprocess", "upload", "infer", "broker")


def _size(row: Row) -> str:
    return f"{row['images']:,}{' small' if row['small'] else ''}"


def _script(kind: str) -> Callable[[Row], str]:
    """The script's seconds (``~`` if extrapolated from its rate) and their ratio to ours."""

    def cell(row: Row) -> str:
        script = row[kind]
        if script is None:
            return ""
        about = "~" if script["stopped"] else ""
        return f"{about}{script['seconds']:.0f}, {row[f'times_{kind}']:.1f}"

    return cell


def _ms(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1000:.0f}"


def _peaks(row: Row) -> str:
    return ", ".join(f"{row['peak_bytes'].get(part, 0) / 1e6:.0f}" for part in PARTS)


WALL: Sequence[Column] = (
    ("images", _size),
    ("tier", lambda r: r["tier"]),
    ("wall", lambda r: f"{r['wall']:.1f}"),
    ("bound, by", lambda r: f"{r['bound']:.1f}, {r['binds']}"),
    ("x", lambda r: f"{r['ratio']:.2f}"),
    ("schedule, by", lambda r: f"{r['schedule']:.1f}, {r['schedule_binds']}"),
    ("x", lambda r: f"{r['schedule_ratio']:.2f}"),
    ("cores left", lambda r: f"{r['cores']:.2f}"),
    ("bound on them, x", lambda r: f"{r['bound_here']:.1f}, {r['ratio_here']:.2f}"),
    ("schedule on them, x", lambda r: f"{r['schedule_here']:.1f}, {r['schedule_ratio_here']:.2f}"),
    ("script, x", _script("plain")),
    ("shrinking script, x", _script("shrinking")),
)
WHEN: Sequence[Column] = (
    ("images", _size),
    ("tier", lambda r: r["tier"]),
    ("first image", lambda r: f"{r['start']:.1f}"),
    ("first answer", lambda r: f"{r['first_answer']:.1f}"),
    ("last image", lambda r: f"{r['last_prepared']:.1f}"),
    ("answer", lambda r: f"{r['finished']:.1f}"),
    ("stop", lambda r: f"{r['stop']:.1f}"),
    ("images not prepared at first call", lambda r: f"{r['unprepared_at_first_call']:,}"),
    ("branch delay, ms", lambda r: _ms(r["parent_late"])),
)
COST: Sequence[Column] = (
    ("images", _size),
    ("tier", lambda r: r["tier"]),
    ("image work, ms", lambda r: f"{r['bare_ms']:.1f}"),
    ("other, ms", lambda r: f"{r['other_ms']:.1f}"),
    ("sandbox, ms", lambda r: f"{r['sandbox_cpu'] / r['images'] * 1000:.1f}"),
    ("peak MB: command, preprocess, upload, infer, broker", _peaks),
    ("database, broker bytes", lambda r: f"{r['database_bytes']:,.0f}, {r['broker_bytes']:,.0f}"),
    ("429", lambda r: str(r["refused"])),
    ("load", lambda r: f"{r['load']:.1f}"),
)


def main() -> None:
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("benchmarks/out/results.json")
    results = json.loads(path.read_text(encoding="utf-8"))
    print(f"{results['machine']}\n")
    if results["rows"]:
        print(f"{_conditions(results['rows'])}\n")
        for columns in (WALL, WHEN, COST):
            print(_table(columns, results["rows"]))
    if results["growth"]:
        print(_growth(*results["growth"]))
    if results["noop"]:
        print(_noop(results["noop"]))
    if results["left_out"]:
        skipped = ", ".join(f"{name} ({reason})" for name, reason in results["left_out"].items())
        print(f"Skipped: {skipped}.")


def _conditions(rows: Sequence[Row]) -> str:
    """A sentence about the pictures and the provider."""
    kinds = {row["side"]: row["picture_bytes"] for row in rows}
    sizes = [f"{side} x {side * 3 // 4} of {kinds[side] / 1000:,.0f} kB" for side in kinds]
    calls = ", ".join(f"{call:g} s" for call in sorted({row["latency_seconds"] for row in rows}))
    return (
        f"Pictures: {', '.join(sizes)}; calls of {calls}, windows of 60 s unless a row names one."
    )


def _noop(noop: Row) -> str:
    return (
        f"Bare Celery: {noop['per_second']:.0f} tasks per second, {noop['send_cpu'] * 1000:.2f} ms"
        f" of CPU to send, {noop['run_cpu'] * 1000:.2f} ms to run.\n"
    )


def _table(columns: Sequence[Column], rows: Sequence[Row]) -> str:
    lines = [[name for name, _ in columns], ["---"] * len(columns)]
    lines += [[text(row) for _, text in columns] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _growth(small: Row, large: Row) -> str:
    lines = [["", f"{small['images']:,}", f"{large['images']:,}", "ratio"], ["---"] * 4]
    for title, kind in (("{}, us of CPU", "micros"), ("SQL statements: {}", "statements")):
        for name, before in small[kind].items():
            after = large[kind][name]
            numbers = [f"{before:.3g}", f"{after:.3g}", f"{after / before:.2f}"]
            lines.append([title.format(name), *numbers])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


if __name__ == "__main__":
    main()
