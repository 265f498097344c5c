"""``python -m benchmarks.machines --moto SERVER [--rows calm,w1-db] [--seed S]``.

Prints one table. Exit status 1 if a row fails, 2 if this machine cannot run it.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import structlog

from benchmarks.machines.lab import ENDPOINT, Lab, faketime_library, lab
from benchmarks.machines.network import Network, network, what_is_missing
from benchmarks.machines.rows import ROWS, Row
from benchmarks.machines.run_row import Result, run_row
from benchmarks.machines.servers import S3_NAMES, Servers, servers
from benchmarks.machines.table import HEAD, details, line

MINUTES = 14.0
OF_OTHERS = ("OVERSTORY_", "STEPFUN_", "AWS_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


def main() -> int:
    args = _arguments()
    chosen = _chosen(args.rows)
    if missing := what_is_missing():
        print(f"bench-machines needs {missing}: nothing was run", file=sys.stderr)
        return 2
    for name in [name for name in os.environ if name.upper().startswith(OF_OTHERS)]:
        del os.environ[name]
    os.environ.update(S3_NAMES)
    signal.signal(signal.SIGTERM, _interrupt)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    folder = Path(tempfile.mkdtemp(prefix="overstory-machines-"))
    try:
        with (
            network(args.seed, folder) as net,
            servers(net, folder, args.moto, ENDPOINT) as there,
        ):
            results = _run(chosen, net, there, folder, args.minutes)
    finally:
        if args.keep:
            print(f"kept {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    missed = [row.name for row in chosen if row not in [result.row for result in results]]
    passed = sum(result.passed for result in results)
    print(f"seed {args.seed}: {passed} of {len(results)} rows passed")
    if missed:
        print(f"not started within {args.minutes:g} minutes: {', '.join(missed)}")
    return 0 if passed == len(results) and not missed else 1


def _run(
    rows: Sequence[Row], net: Network, there: Servers, folder: Path, minutes: float
) -> list[Result]:
    deadline = time.monotonic() + minutes * 60
    print(HEAD, flush=True)
    labs = Labs(net, there, folder)
    results: list[Result] = []
    calm: Result | None = None
    with labs:
        for row in rows:
            if time.monotonic() > deadline:
                break
            if row.clocks and faketime_library() is None:
                results.append(Result(row, skipped="libfaketime is not installed"))
            else:
                results.append(run_row(labs.of(row), row))
            calm = results[-1] if row.name == "calm" else calm
            if not results[-1].passed:
                labs.close()  # what a failed row left behind is not the next one's
            print("\n".join([line(results[-1], calm), *details(results[-1])]), flush=True)
    return results


class Labs(contextlib.AbstractContextManager["Labs"]):
    """The machines, kept for the next row while its clocks are the same."""

    def __init__(self, net: Network, there: Servers, folder: Path) -> None:
        self._net, self._there, self._folder = net, there, folder
        self._stack = contextlib.ExitStack()
        self._now: tuple[Lab, dict[str, float]] | None = None
        self._count = 0

    def of(self, row: Row) -> Lab:
        clocks = dict(row.clocks)
        if self._now is None or self._now[1] != clocks:
            self.close()
            self._count += 1
            folder = self._folder / f"lab-{self._count}"
            made = self._stack.enter_context(lab(self._net, self._there, folder, clocks))
            self._now = (made, clocks)
        return self._now[0]

    def close(self) -> None:
        self._now = None
        self._stack.close()

    def __exit__(self, *_: object) -> None:
        self.close()


def _chosen(names: str) -> list[Row]:
    known = {row.name: row for row in ROWS}
    wanted = names.split(",") if names else list(known)
    if unknown := [name for name in wanted if name not in known]:
        raise SystemExit(f"unknown rows: {', '.join(unknown)}; known: {', '.join(known)}")
    return [known[name] for name in wanted]


def _interrupt(number: int, frame: FrameType | None) -> None:
    """A SIGTERM ends it like Ctrl-C: everything is removed."""
    raise KeyboardInterrupt


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Break the links between machines.")
    parser.add_argument("--moto", required=True, help="path of moto_server")
    parser.add_argument("--rows", default="", help="row names, separated by commas; default: all")
    parser.add_argument("--seed", type=int, default=1, help="seed of the lost packets")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="start no row after this")
    parser.add_argument("--keep", action="store_true", help="keep the folder with the logs")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
