"""Memory of tables as inputs: reading them, and planning a job of their rows.

    python -m benchmarks.tables [ROWS ...]

Made tables name a URL and five facts a row. Each figure is from a process of its own: the most
memory (resident) above what it has after its imports and a first table of 60 rows.
"""

from __future__ import annotations

import contextlib
import json
import logging
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import structlog

from clients.sources import table_files
from core.jobs import JobSpec
from tasks import submit
from tests.support.one_process import whole

KINDS = ("csv", "jsonl", "parquet")
SIZES = (600, 6_000, 60_000)
FIRST = 60
MEBI = 1 << 20


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(measured(*sys.argv[2:5])))
        return
    sizes = [int(given) for given in sys.argv[1:]] or SIZES
    print("table    rows     bytes  read: MiB  seconds  plan: MiB  seconds")
    with tempfile.TemporaryDirectory(prefix="bench-tables-") as folder:
        for kind in KINDS:
            for rows in sizes:
                path = made(Path(folder) / f"{rows}.{kind}", rows)
                made(Path(folder) / f"first.{kind}", FIRST)
                read, plan = (of_process(step, path) for step in ("read", "plan"))
                print(
                    f"{kind:7} {rows:>5,} {path.stat().st_size:>9,}"
                    f" {read['mebi']:>10.1f} {read['seconds']:>8.2f}"
                    f" {plan['mebi']:>10.1f} {plan['seconds']:>8.2f}"
                )


def made(path: Path, rows: int) -> Path:
    """A table of so many rows; the same each time."""
    draw = random.Random(rows)
    cells = (
        {
            "url": f"https://pictures.example.com/{number:06d}.jpg",
            "asset": f"A-{draw.randrange(10**6):06d}",
            "taken": f"2024-05-{1 + number % 28:02d}T12:00:{number % 60:02d}",
            "floor": draw.randrange(12),
            "room": f"{draw.choice('NESW')} {draw.randrange(400)}",
            "remark": " ".join(draw.choices(("wall", "door", "crack", "wet", "old"), k=6)),
        }
        for number in range(rows)
    )
    match path.suffix:
        case ".parquet":
            import pyarrow
            from pyarrow import parquet

            parquet.write_table(pyarrow.Table.from_pylist(list(cells)), path)
        case ".jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in cells))
        case _:
            first = next(cells)
            lines = (",".join(map(str, row.values())) for row in (first, *cells))
            path.write_text("\n".join([",".join(first), *lines]) + "\n")
    return path


def of_process(step: str, path: Path) -> dict[str, Any]:
    argv = [sys.executable, "-m", "benchmarks.tables", "--one", step, str(path)]
    done = subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True)
    value: dict[str, Any] = json.loads(done.stdout)
    return value


def measured(step: str, path: str, *_: str) -> dict[str, float]:
    """The most MiB above the start, and seconds."""
    table = Path(path)
    with ready(step) as do:
        do(table.with_stem("first"))
        before, began = most(), time.monotonic()
        do(table)
        return {"mebi": (most() - before) / MEBI, "seconds": time.monotonic() - began}


@contextlib.contextmanager
def ready(step: str) -> Iterator[Any]:
    if step == "read":
        yield read
        return
    with (
        tempfile.TemporaryDirectory(prefix="bench-tables-") as home,
        whole(Path(home)) as job,
    ):
        spec = {"ask": "What?", "image_column": "url", "with": ["asset", "remark"]}
        yield lambda path: submit.submit(
            job.services, JobSpec(images=[str(path)], **spec), natural=True
        )


def read(path: Path) -> None:
    with path.open("rb") as file:
        for _ in table_files.opened(file, path.name).rows():
            pass


def most() -> int:
    """The most resident bytes of this process so far. On Linux ``ru_maxrss`` would count what the
    parent had before it started this program."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
