"""The tables for docs/performance.md, from a results.json.

python -m benchmarks.pipeline.markdown [benchmarks/out/results.json]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.pipeline.columns import TABLES, Row, conditions, lines


def main() -> None:
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("benchmarks/out/results.json")
    results = json.loads(path.read_text(encoding="utf-8"))
    print(f"{results['machine']}\n")
    if results["rows"]:
        print(f"{conditions(results['rows'])}\n")
        for title, columns in TABLES:
            print(f"{title}:\n")
            print(table([name for name, _ in columns], lines(columns, results["rows"])))
    if results["growth"]:
        print(_growth(*results["growth"]))
    if results["noop"]:
        print(_noop(results["noop"]))
    if results["left_out"]:
        skipped = ", ".join(f"{name} ({reason})" for name, reason in results["left_out"].items())
        print(f"Skipped: {skipped}.")


def table(names: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    rows = [names, ["---"] * len(names), *cells]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def _noop(noop: Row) -> str:
    return (
        f"Bare Celery: {noop['per_second']:.0f} tasks per second, {noop['send_cpu'] * 1000:.2f} ms"
        f" of CPU to send, {noop['run_cpu'] * 1000:.2f} ms to run.\n"
    )


def _growth(small: Row, large: Row) -> str:
    cells = []
    for title, kind in (("{}, us of CPU", "micros"), ("SQL statements: {}", "statements")):
        for name, before in small[kind].items():
            after = large[kind][name]
            numbers = [f"{before:.3g}", f"{after:.3g}", f"{after / before:.2f}"]
            cells.append([title.format(name), *numbers])
    return table(["", f"{small['images']:,}", f"{large['images']:,}", "ratio"], cells)


if __name__ == "__main__":
    main()
