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


def _scaled(row: Row) -> str:
    window = row["window_seconds"]
    return "" if window == 60 else f" (window {window:.0f} s)"


def _script(row: Row) -> str:
    plain = row["plain"]
    return "" if plain is None else f"{'~' if plain['stopped'] else ''}{plain['seconds']:.0f}"


def _ms(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1000:.0f}"


def _peaks(row: Row) -> str:
    return ", ".join(f"{row['peak_bytes'].get(part, 0) / 1e6:.0f}" for part in PARTS)


WALL: Sequence[Column] = (
    ("images", lambda r: f"{r['images']:,}"),
    ("tier", lambda r: f"{r['tier']}{_scaled(r)}"),
    ("wall", lambda r: f"{r['wall']:.1f}"),
    ("bound, by", lambda r: f"{r['bound']:.1f}, {r['binds']}"),
    ("ratio", lambda r: f"{r['ratio']:.2f}"),
    ("cores had", lambda r: f"{r['cores']:.2f}"),
    ("bound on them", lambda r: f"{r['bound_here']:.1f}"),
    ("ratio", lambda r: f"{r['ratio_here']:.2f}"),
    ("script", _script),
    ("x script", lambda r: "" if r["plain"] is None else f"{r['times_plain']:.1f}"),
)
WHEN: Sequence[Column] = (
    ("images", lambda r: f"{r['images']:,}"),
    ("tier", lambda r: r["tier"]),
    ("first image", lambda r: f"{r['start']:.1f}"),
    ("first answer", lambda r: f"{r['first_answer']:.1f}"),
    ("last image", lambda r: f"{r['last_prepared']:.1f}"),
    ("answer", lambda r: f"{r['finished']:.1f}"),
    ("stop", lambda r: f"{r['stop']:.1f}"),
    ("images to come at first call", lambda r: f"{r['unprepared_at_first_call']:,}"),
    ("branch late, ms", lambda r: _ms(r["parent_late"])),
)
COST: Sequence[Column] = (
    ("images", lambda r: f"{r['images']:,}"),
    ("tier", lambda r: r["tier"]),
    ("image work, ms", lambda r: f"{r['bare_ms']:.1f}"),
    ("else, ms", lambda r: f"{r['other_ms']:.1f}"),
    ("sandbox, ms", lambda r: f"{r['sandbox_cpu'] / r['images'] * 1000:.1f}"),
    ("peak MB: command, preprocess, upload, infer, broker", _peaks),
    ("database, broker bytes", lambda r: f"{r['database_bytes']:,.0f}, {r['broker_bytes']:,.0f}"),
    ("429", lambda r: str(r["refused"])),
    ("load", lambda r: f"{r['load']:.1f}"),
)


def main() -> None:
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("benchmarks/out/results.json")
    found = json.loads(path.read_text(encoding="utf-8"))
    print(f"{found['machine']}\n")
    for columns in (WALL, WHEN, COST):
        print(_table(columns, found["rows"]))
    if found["growth"]:
        print(_growth(*found["growth"]))
    if found["noop"]:
        print(found["noop"])


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
