"""``python -m benchmarks.gauntlet [--rows 2,5,9] [--seed S] [--short] [--json FILE]``.

Prints a line a row as it ends. Exit status 1 when a row does not hold. The rows are numbered as in
the project's reference; words name those that the issue adds. Rows are begun within ``--minutes``
of the start, so that 15 minutes hold all; what was not begun is said.

Left out: 18 (the limiter alone: ``make bench-limits``, tests/integration/test_limiter_processes.py)
and 25 (100,000 images for an hour: ``make bench``).
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
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
from benchmarks.gauntlet.rows import ON_POSTGRES, ROWS
from benchmarks.gauntlet.table import HEAD, details, line, summary
from tests.support.faults.judge import Figures
from tests.support.faults.scene import Bench
from tests.support.faults.servers import Postgres, stopping

FIRST = (
    *("kills", "6", "2", "3", "10", "5", "9", "15", "16", "17", "22", "23", "poison", "stack"),
    *("28", "outage", "locked"),
)
"""The rows that matter most, and the longest, in case the time runs out."""
SHORT = ("2", "9", "10", "poison")
LANES = 3
MINUTES = 13.0


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
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    print(f"seed {args.seed}\n{HEAD}", flush=True)
    begun = time.monotonic()
    made = run_rows(chosen, args)
    print(f"{summary(made)} in {time.monotonic() - begun:.0f} s")
    missed = [name for name in chosen if name not in {figures.row for figures in made}]
    if missed:
        print(f"not begun within {args.minutes:g} minutes: {', '.join(missed)}")
    if args.json:
        found = {"seed": args.seed, "rows": [figures.as_json() for figures in made]}
        args.json.write_text(json.dumps(found, indent=2), encoding="utf-8")
    return 0 if all(figures.passed for figures in made) and not missed else 1


def run_rows(names: Sequence[str], args: argparse.Namespace) -> list[Figures]:
    """The rows, in lanes side by side, each printed as it ends; as many as there is time for."""
    folder = Path(tempfile.mkdtemp(prefix="overstory-gauntlet-"))
    bench = Bench(folder, Postgres(folder / "postgres"), args.seed, args.short)
    queue = Queue(names, time.monotonic() + args.minutes * 60)
    try:
        with ThreadPoolExecutor(args.lanes) as pool:
            lanes = [pool.submit(_lane, bench, queue, number == 0) for number in range(args.lanes)]
            try:
                return [figures for lane in lanes for figures in lane.result()]
            except BaseException:
                stopping.set()
                raise
    finally:
        bench.postgres.close()
        if args.keep:
            print(f"kept {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


class Queue:
    """Rows that wait. Those on PostgreSQL are for one lane only, for they crash what they share."""

    def __init__(self, names: Sequence[str], deadline: float) -> None:
        self._names = list(names)
        self._deadline = deadline
        self._lock = threading.Lock()

    def take(self, postgres: bool) -> str | None:
        """The next row; for the lane that may, one on PostgreSQL before any other."""
        with self._lock:
            if time.monotonic() > self._deadline:
                return None
            on, off = (
                [name for name in self._names if (name in ON_POSTGRES) is wanted]
                for wanted in (True, False)
            )
            for name in [*on, *off] if postgres else off:
                self._names.remove(name)
                return name
            return None


def _lane(bench: Bench, queue: Queue, postgres: bool) -> list[Figures]:
    made: list[Figures] = []
    while (name := queue.take(postgres)) is not None:
        made.append(_figures(name, bench))
        print("\n".join([line(made[-1]), *details(made[-1])]), flush=True)
    return made


def _figures(name: str, bench: Bench) -> Figures:
    """A row's figures; a row that breaks the gauntlet itself has failed, and the next begins."""
    try:
        return ROWS[name](bench)
    except Exception:
        return Figures(name, "the row itself failed", broken=[traceback.format_exc()])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Break the system in every way we know.")
    parser.add_argument("--rows", default="", help="names with commas between; default: all")
    parser.add_argument("--seed", type=int, default=1, help="where and when faults strike")
    parser.add_argument("--lanes", type=int, default=LANES, help="rows side by side")
    parser.add_argument("--short", action="store_true", help="fewer rows, smaller jobs")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="begin no row after that")
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--keep", action="store_true", help="keep the folder with all logs")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
