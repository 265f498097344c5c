"""``python -m benchmarks.gauntlet [--rows 2,5,9] [--seed S] [--short] [--json FILE]``."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.gauntlet import rows_kills  # noqa: F401 - rows register themselves
from benchmarks.gauntlet.scene import ROWS, Bench
from benchmarks.gauntlet.servers import Postgres


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", default="")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--short", action="store_true")
    args = parser.parse_args()
    rows = args.rows.split(",") if args.rows else list(ROWS)
    folder = Path(tempfile.mkdtemp(prefix="overstory-gauntlet-"))
    bench = Bench(folder, Postgres(folder / "postgres"), args.seed, args.short)
    for number in rows:
        figures = ROWS[number](bench)
        print(figures.as_json(), flush=True)
    bench.postgres.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
