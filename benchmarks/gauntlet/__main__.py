"""``python -m benchmarks.gauntlet [--rows 2,5,9] [--seed S] [--short] [--json FILE]``.

Prints a line a row as it ends. Exit status 1 when a row does not hold. The rows are numbered as in
the project's reference; words name those that the issue adds. Rows are begun while there is time:
within ``--minutes`` (15) of the start; what was not reached is said.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import structlog

from benchmarks.gauntlet import (  # noqa: F401 - rows register themselves
    rows_broker,
    rows_command,
    rows_database,
    rows_endpoint,
    rows_inside,
    rows_kills,
    rows_mixed,
)
from benchmarks.gauntlet.judge import Figures
from benchmarks.gauntlet.scene import ROWS, Bench
from benchmarks.gauntlet.servers import Postgres
from benchmarks.gauntlet.table import HEAD, details, line, summary

FIRST = ("2", "3", "5", "6", "9", "10", "15", "16", "17", "22", "23", "poison", "stack", "kills")
"""The rows that matter most, in case the time runs out."""
SHORT = ("2", "9", "10", "poison")
MINUTES = 15.0


def main() -> int:
    args = _arguments()
    known = [*FIRST, *(name for name in ROWS if name not in FIRST)]
    chosen = args.rows.split(",") if args.rows else list(SHORT if args.short else known)
    unknown = sorted(set(chosen) - set(ROWS))
    if unknown:
        print(f"no such row: {', '.join(unknown)}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    for name in [name for name in os.environ if name.startswith(("OVERSTORY_", "STEPFUN_"))]:
        del os.environ[name]  # the rows say everything themselves
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    print(f"seed {args.seed}\n{HEAD}", flush=True)
    made = run_rows(chosen, args.seed, args.short, args.minutes * 60, args.keep)
    print(summary(made))
    if len(made) < len(chosen):
        print(f"not reached within {args.minutes:g} minutes: {', '.join(chosen[len(made) :])}")
    if args.json:
        found = {"seed": args.seed, "rows": [figures.as_json() for figures in made]}
        args.json.write_text(json.dumps(found, indent=2), encoding="utf-8")
    return 0 if all(figures.passed for figures in made) and len(made) == len(chosen) else 1


def run_rows(
    names: Sequence[str], seed: int, short: bool, seconds: float, keep: bool = False
) -> list[Figures]:
    """The rows one after another, each printed as it ends; as many as ``seconds`` allow."""
    folder = Path(tempfile.mkdtemp(prefix="overstory-gauntlet-"))
    bench = Bench(folder, Postgres(folder / "postgres"), seed, short)
    deadline = time.monotonic() + seconds
    made: list[Figures] = []
    try:
        for name in names:
            left = deadline - time.monotonic()
            if left <= max((figures.seconds for figures in made), default=0.0) / 2:
                break
            made.append(ROWS[name](bench))
            print("\n".join([line(made[-1]), *details(made[-1])]), flush=True)
    finally:
        bench.postgres.close()
        if keep:
            print(f"kept {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return made


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Break the system in every way we know.")
    parser.add_argument("--rows", default="", help="names with commas between; default: all")
    parser.add_argument("--seed", type=int, default=1, help="where and when faults strike")
    parser.add_argument("--short", action="store_true", help="fewer rows, smaller jobs")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="begin no row after that")
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--keep", action="store_true", help="keep the folder with all logs")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
