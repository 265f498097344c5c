"""``python -m benchmarks.failover [--rows hosts,sentinel] [--seed S] [--json FILE] [--keep]``.

Prints one line per row when it ends. Exit status 1 when a row fails or was not started; no row
starts later than ``--minutes`` after the beginning. Rows that this machine cannot run are skipped,
with the reason.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import structlog

from benchmarks.failover import (  # noqa: F401 - rows register themselves
    rows_bouncer,
    rows_postgres,
    rows_redis,
)
from benchmarks.failover.rows import ROWS, Row
from benchmarks.failover.table import HEAD, details, line, summary
from tests.support.cluster import why_not
from tests.support.faults.judge import Figures
from tests.support.faults.servers import stopping

LANES = 2
MINUTES = 8.5


def main() -> int:
    args = _arguments()
    known = sorted(ROWS, key=lambda name: name.startswith("bouncer"))  # these last
    chosen = args.rows.split(",") if args.rows else known
    unknown = sorted(set(chosen) - set(ROWS))
    if unknown:
        print(
            f"unknown rows: {', '.join(unknown)}; known rows: {', '.join(known)}", file=sys.stderr
        )
        return 2
    if reason := why_not():
        print(f"the rows need a PostgreSQL: {reason}", file=sys.stderr)
        return 1
    for name in [name for name in os.environ if name.startswith(("OVERSTORY_", "STEPFUN_"))]:
        del os.environ[name]  # each row sets its own
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell's background job ignores SIGINT
        signal.signal(number, _interrupt)
    begun = time.monotonic()
    skipped = {name: reason for name in chosen if (reason := ROWS[name].needs())}
    print(f"seed {args.seed}\n{HEAD}", flush=True)
    for name, reason in skipped.items():
        print(f"{name:>12}  skipped: {reason}")
    results = run_rows([ROWS[name] for name in chosen if name not in skipped], args)
    print(f"{summary(results, len(skipped))} in {time.monotonic() - begun:.0f} s")
    missed = [name for name in chosen if name not in skipped and name not in _names(results)]
    if missed:
        print(f"not started within {args.minutes:g} minutes: {', '.join(missed)}")
    if args.json:
        report = {"seed": args.seed, "rows": [figures.as_json() for figures in results]}
        args.json.write_text(json.dumps(report, indent=2), encoding="utf-8")
    return 0 if all(figures.passed for figures in results) and not missed else 1


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _names(results: list[Figures]) -> set[str]:
    return {figures.row for figures in results}


def run_rows(rows: list[Row], args: argparse.Namespace) -> list[Figures]:
    """Run the rows in lanes while there is time; print each when it ends."""
    folder = Path(tempfile.mkdtemp(prefix="overstory-failover-"))
    folder.chmod(0o711)  # as root, the servers run as another user and have to pass
    deadline = time.monotonic() + args.minutes * 60
    lock = threading.Lock()

    def lane() -> list[Figures]:
        results: list[Figures] = []
        while time.monotonic() < deadline:
            with lock:
                row = rows.pop(0) if rows else None
            if row is None:
                break
            results.append(_figures(row, folder, args.seed))
            print("\n".join([line(results[-1]), *details(results[-1])]), flush=True)
        return results

    try:
        with ThreadPoolExecutor(args.lanes) as pool:
            lanes = [pool.submit(lane) for _ in range(args.lanes)]
            try:
                return [figures for each in lanes for figures in each.result()]
            except BaseException:
                stopping.set()
                raise
    finally:
        if args.keep:
            print(f"kept {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _figures(row: Row, folder: Path, seed: int) -> Figures:
    """A row's figures. A row that raises has failed, and the next one still runs."""
    try:
        return row.run(folder, seed)
    except Exception:
        return Figures(row.name, row.title, broken=[traceback.format_exc()])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Let databases and brokers fail over under load, and check what is promised."
    )
    parser.add_argument("--rows", default="", help="row names, separated by commas; default: all")
    parser.add_argument("--seed", type=int, default=1, help="seed of what is drawn")
    parser.add_argument("--lanes", type=int, default=LANES, help="rows that run at once")
    parser.add_argument(
        "--minutes", type=float, default=MINUTES, help="start no row after this time"
    )
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--keep", action="store_true", help="keep the folder with the logs")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
