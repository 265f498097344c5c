"""``python -m benchmarks.gauntlet [--rows 2,5,9] [--seed S] [--short] [--json FILE]``.

Prints one line per row when it ends. Exit status 1 when a row fails or was not started. Numbered
rows are those of the project's reference; named rows were added by the issue. No row starts later
than ``--minutes`` after the beginning, so that all ends within 15 minutes; rows that were not
started are listed.

Not here: 18 (the limiter alone: ``make bench-limits``, tests/integration/test_limiter_processes.py)
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
    rows_sight,
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
"""The most important and the longest rows start first, in case the time runs out."""
SHORT = ("2", "9", "10", "poison")
LANES = 3
MINUTES = 13.0


def main() -> int:
    args = _arguments()
    known = [*FIRST, *(name for name in ROWS if name not in FIRST)]
    chosen = args.rows.split(",") if args.rows else list(SHORT if args.short else known)
    unknown = sorted(set(chosen) - set(ROWS))
    if unknown:
        print(
            f"unknown rows: {', '.join(unknown)}; known rows: {', '.join(known)}", file=sys.stderr
        )
        return 2
    for name in [name for name in os.environ if name.startswith(("OVERSTORY_", "STEPFUN_"))]:
        del os.environ[name]  # each row sets its own
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    print(f"seed {args.seed}\n{HEAD}", flush=True)
    begun = time.monotonic()
    results = run_rows(chosen, args)
    print(f"{summary(results)} in {time.monotonic() - begun:.0f} s")
    missed = [name for name in chosen if name not in {figures.row for figures in results}]
    if missed:
        print(f"not started within {args.minutes:g} minutes: {', '.join(missed)}")
    if args.json:
        report = {"seed": args.seed, "rows": [figures.as_json() for figures in results]}
        args.json.write_text(json.dumps(report, indent=2), encoding="utf-8")
    return 0 if all(figures.passed for figures in results) and not missed else 1


def run_rows(names: Sequence[str], args: argparse.Namespace) -> list[Figures]:
    """Run the rows in parallel lanes while there is time; print each when it ends."""
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
    """Waiting rows. One lane runs all PostgreSQL rows, because they crash the server they share."""

    def __init__(self, names: Sequence[str], deadline: float) -> None:
        self._names = list(names)
        self._deadline = deadline
        self._lock = threading.Lock()

    def take(self, postgres: bool) -> str | None:
        """The next row, or None. ``postgres``: this lane runs the PostgreSQL rows first."""
        with self._lock:
            if time.monotonic() > self._deadline:
                return None
            postgres_rows, others = (
                [name for name in self._names if (name in ON_POSTGRES) is wanted]
                for wanted in (True, False)
            )
            for name in [*postgres_rows, *others] if postgres else others:
                self._names.remove(name)
                return name
            return None


def _lane(bench: Bench, queue: Queue, postgres: bool) -> list[Figures]:
    results: list[Figures] = []
    while (name := queue.take(postgres)) is not None:
        results.append(_figures(name, bench))
        print("\n".join([line(results[-1]), *details(results[-1])]), flush=True)
    return results


def _figures(name: str, bench: Bench) -> Figures:
    """A row's figures. A row that raises has failed, and the next one still runs."""
    try:
        return ROWS[name](bench)
    except Exception:
        return Figures(name, "the row raised an exception", broken=[traceback.format_exc()])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Break the system in every way we know, and check its promises."
    )
    parser.add_argument("--rows", default="", help="row names, separated by commas; default: all")
    parser.add_argument(
        "--seed", type=int, default=1, help="seed of the places and times of faults"
    )
    parser.add_argument(
        "--lanes", type=int, default=LANES, help="number of rows to run in parallel"
    )
    parser.add_argument("--short", action="store_true", help="fewer rows, smaller jobs")
    parser.add_argument(
        "--minutes", type=float, default=MINUTES, help="start no row after this time"
    )
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--keep", action="store_true", help="keep the folder with the logs")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
