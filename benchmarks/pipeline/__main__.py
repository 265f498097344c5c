"""Measure complete jobs beside a careful script, Daft, and the least possible time.

    python -m benchmarks.pipeline [--full] [--rounds N] [--rows 600-V0,60-V4-small] [--latency 4]

``scenes`` explains the names of rows; ``noop`` (bare Celery) and ``growth`` (CPU per image of 600
and 60,000) are names too. The job and the script run in turn, ``--rounds`` times (1, or 2 with
``--full``). The short form ends within ``--minutes`` (9.5) after the pictures are made. It skips
and lists rows for which no time is left or whose pictures do not fit on the disk. Writes
results.json and plot.svg into benchmarks/out. Exit status 1 when an image was not included.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import structlog
from rich.console import Console

from benchmarks.pipeline import machine, table
from benchmarks.pipeline.bench import Bench
from benchmarks.pipeline.plot import plot

OUT = Path(__file__).parents[1] / "out"


def main() -> int:
    args = _arguments()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    console = Console(width=None if sys.stdout.isatty() else 170)
    OUT.mkdir(exist_ok=True)
    described = machine.described(OUT)
    console.print(described, highlight=False)
    with tempfile.TemporaryDirectory(prefix="overstory-bench-") as name:
        bench = Bench(console, args, OUT / "pictures", Path(name))
        bench.run()
    _show(bench)
    _write(bench, described)
    return 0 if all(row.included == row.images for row in bench.rows) else 1


def _show(bench: Bench) -> None:
    if bench.rows:
        table.show_rows(bench.console, bench.rows)
    if bench.noop:
        table.show_noop(bench.console, bench.noop)
    if bench.growth:
        table.show_growth(bench.console, bench.growth)
    for name, reason in bench.left_out.items():
        bench.console.print(f"skipped: {name}, {reason}", highlight=False)


def _write(bench: Bench, described: str) -> None:
    results = {
        "machine": described,
        "rows": [asdict(row) for row in bench.rows],
        "noop": asdict(bench.noop) if bench.noop else None,
        "growth": [asdict(cost) for cost in bench.growth],
        "left_out": bench.left_out,
        "took_seconds": bench.took,
    }
    (OUT / "results.json").write_text(json.dumps(results, indent=1), encoding="utf-8")
    if bench.rows:
        (OUT / "plot.svg").write_text(plot(bench.rows), encoding="utf-8")
    bench.console.print(f"written: {OUT / 'results.json'}, {OUT / 'plot.svg'}", highlight=False)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="benchmarks.pipeline", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--full", action="store_true", help="run every row, without a time limit")
    parser.add_argument("--rounds", type=int, help="how often each row runs (1; 2 with --full)")
    parser.add_argument(
        "--daft",
        type=Path,
        default=Path("build/daft/bin/python"),
        help="the Python of Daft's environment",
    )
    parser.add_argument("--rows", help="run only these: 60-V0,600-V4-small-never,noop,growth")
    parser.add_argument(
        "--latency", type=float, default=4.0, help="seconds that each call takes (4)"
    )
    parser.add_argument(
        "--side", type=int, default=4000, help="width of the pictures in pixels (4000)"
    )
    parser.add_argument(
        "--minutes", type=float, default=9.5, help="time limit of the short form (9.5)"
    )
    args = parser.parse_args()
    args.rounds = args.rounds or (2 if args.full else 1)
    return args


if __name__ == "__main__":
    sys.exit(main())
