"""A million images through the real service, and what reads them then.

    python -m benchmarks.scale [--images 1000000] [--store inline|files] [--minutes M]
                               [--folder FOLDER --keep] [--again FOLDER] [--no-fsync]

One job has four fifths of the images, 200 jobs share the rest at the same time. ``--minutes``
cancels what is not done after so long; the table says how much was. ``--keep`` leaves the database
for ``--again``, which measures the reads anew. Writes benchmarks/out/scale.json.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.scale import pictures, reads, table
from benchmarks.scale.commands import timed
from benchmarks.scale.stand import OVERSTORY, Stand, stand, start_service, until
from models import state
from models.state import Moved
from overstory.client import Client

OUT = Path(__file__).parent.parent / "out"
SMALL_JOBS = 200
LARGE_SHARE = 0.8
ASK = "What is in these pictures?"
NEVER = 10 * 86_400.0
SUBMITTERS = 2
LOOK_SECONDS = 5.0
Figures = dict[str, Any]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--jobs", type=int, default=SMALL_JOBS, help="small jobs")
    parser.add_argument("--store", choices=("inline", "files"), default="inline")
    parser.add_argument("--minutes", type=float, help="end the run after so long")
    parser.add_argument("--folder", type=Path, help="where all of it is; default: a temporary one")
    parser.add_argument("--keep", action="store_true", help="keep FOLDER, and prune nothing")
    parser.add_argument("--again", type=Path, help="measure the reads of a kept FOLDER")
    parser.add_argument("--no-fsync", action="store_true", help="let PostgreSQL not wait for disks")
    parser.add_argument("--out", type=Path, default=OUT / "scale.json")
    given = parser.parse_args()
    if given.again:
        with stand(given.again, given.store, not given.no_fsync) as running:
            figures: Figures = {"images": given.images, "again": True}
            figures |= read(running, *jobs_of(running))
            if not given.keep:
                figures["prune"] = reads.of_prune(running)
    else:
        figures = run(given)
    reads.write(given.out, figures)
    print(table.of(figures))
    return 0


def run(given: argparse.Namespace) -> Figures:
    folder = given.folder or Path(tempfile.mkdtemp(prefix="overstory-scale-"))
    try:
        with stand(folder, given.store, not given.no_fsync) as running:
            figures = measured(running, given)
            if not given.keep:
                figures["prune"] = reads.of_prune(running)
            return figures
    finally:
        if not given.keep:
            shutil.rmtree(folder, ignore_errors=True)


def measured(running: Stand, given: argparse.Namespace) -> Figures:
    large = round(given.images * LARGE_SHARE)
    each = (given.images - large) // given.jobs
    began = time.monotonic()
    pictures.make(running.pictures / "large", 0, large)
    for job in range(given.jobs):
        pictures.make(running.pictures / f"small-{job:03d}", large + job * each, each)
    figures: Figures = {
        "images": large + each * given.jobs,
        "store": given.store,
        "fsync": not given.no_fsync,
        "cores": os.cpu_count(),
        "load_before": os.getloadavg()[0],
        "making_seconds": time.monotonic() - began,
    }
    say(f"made {figures['images']:,} pictures in {figures['making_seconds']:.0f} s")
    start_service(running)
    running.sql("SELECT pg_stat_statements_reset()")
    before = traffic(running)
    began = time.monotonic()
    running.start("command", [*OVERSTORY, "run", str(running.pictures / "large"), *words()])
    until(lambda: running.sql("SELECT 1 FROM jobs"), NEVER, 0.2)
    figures["large"] = {"images": large, "planned_seconds": time.monotonic() - began}
    say(f"planned {large:,} images in {figures['large']['planned_seconds']:.1f} s")
    figures["small"] = submit(running, given.jobs, each)
    say(f"submitted {given.jobs} jobs: {figures['small']}")
    figures["while it runs"] = amid(running)
    figures["timeline"] = follow(running, figures["images"], began, given.minutes)
    figures["seconds"] = time.monotonic() - began
    figures["load_after"] = os.getloadavg()[0]
    figures |= totals(running, before)
    figures["ended"] = not unended(running)
    figures["counts"] = running.counts()
    figures["statements"] = reads.statements(running)
    say(f"{figures['counts']['images']:,} images asked in {figures['seconds']:.0f} s")
    reads.write(given.out, figures)
    if not figures["ended"]:
        figures["cancel"] = asdict(timed(running, "cancel", jobs_of(running)[0]))
        cancel_rest(running)
    return figures | read(running, *jobs_of(running))


def cancel_rest(running: Stand) -> None:
    with reads.services_of(running) as services:
        for (job,) in running.sql("SELECT id FROM jobs WHERE finished_at IS NULL"):
            with services.database.write() as connection:
                state.job_cancelled(connection, job, Moved())


def words() -> list[str]:
    return ["--ask", ASK, "--label", "large", "--yes", "--quiet"]


def submit(running: Stand, jobs: int, each: int) -> Figures:
    """The small jobs, by message."""
    began = time.monotonic()
    with Client(running.settings) as client, ThreadPoolExecutor(SUBMITTERS) as pool:

        def one(job: int) -> float:
            since = time.monotonic()
            folder = running.pictures / f"small-{job:03d}"
            client.submit([folder], ask=ASK, label="small", seconds=NEVER)
            return time.monotonic() - since

        took = sorted(pool.map(one, range(jobs)))
    seconds = time.monotonic() - began
    return {"jobs": jobs, "each": each, "seconds": seconds, "median": took[len(took) // 2]}


def amid(running: Stand) -> Figures:
    """What is measured while all jobs run."""
    with reads.services_of(running) as services:
        figures: Figures = {
            "running": running.sql("SELECT count(*) FROM jobs WHERE status = 'running'")[0][0],
            "asked": running.counts()["images"],
            "claims": reads.of_claims(services),
            "reconciler": reads.of_reconciler(services),
        }
    figures["commands"] = reads.of_commands(running, jobs_of(running)[0], ended=False)
    say(f"while {figures['running']} jobs run: {figures['claims']}")
    return figures


def follow(running: Stand, images: int, began: float, minutes: float | None) -> list[Figures]:
    """Wait for the end; every so often, how many images were asked about and what they cost."""
    line: list[Figures] = []
    steps = 20
    while unended(running):
        seconds, counts = time.monotonic() - began, running.counts()
        if minutes is not None and seconds > 60 * minutes:
            break
        if counts["images"] * steps >= images * (len(line) + 1):
            cpu = running.usage.cpu()
            line.append({"seconds": seconds, "asked": counts["images"], "cpu": cpu})
            line[-1] |= {"backlog": dict(running.sql(STATUSES)), "claim": top(running)}
            say(f"{seconds:6.0f} s  {counts['images']:>9,} asked  {line[-1]['backlog']}")
        time.sleep(LOOK_SECONDS)
    return line


STATUSES = "SELECT status, count(*) FROM images GROUP BY status"


def top(running: Stand) -> list[Figures]:
    """The five dearest statements so far."""
    return [
        {name: row[name] for name in ("query", "calls", "mean_ms", "total_ms")}
        | {"query": str(row["query"])[:300]}
        for row in reads.statements(running, 8)
    ]


def unended(running: Stand) -> bool:
    return bool(running.sql("SELECT 1 FROM jobs WHERE finished_at IS NULL LIMIT 1"))


def jobs_of(running: Stand) -> tuple[str, str]:
    """The large job, and a small one."""
    rows = running.sql("SELECT id FROM jobs ORDER BY submitted DESC, id")
    return rows[0][0], rows[-1][0]


def traffic(running: Stand) -> Figures:
    """Counters of the servers."""
    stats = running.valkey.info()
    [row] = running.sql(
        "SELECT xact_commit, pg_current_wal_lsn() - '0/0'::pg_lsn, tup_updated, tup_inserted"
        " FROM pg_stat_database WHERE datname = current_database()"
    )
    [(calls,)] = running.sql(
        "SELECT coalesce(sum(calls), 0) FROM pg_stat_statements s JOIN pg_database d"
        " ON d.oid = s.dbid WHERE datname = current_database()"
    )
    return {
        "commits": int(row[0]),
        "wal_bytes": int(row[1]),
        "rows_updated": int(row[2]),
        "rows_inserted": int(row[3]),
        "statements": int(calls),
        "redis_commands": stats["total_commands_processed"],
        "redis_bytes_in": stats["total_net_input_bytes"],
        "redis_bytes_out": stats["total_net_output_bytes"],
        "redis_peak_bytes": stats["used_memory_peak"],
    }


def totals(running: Stand, before: Figures) -> Figures:
    after = traffic(running)
    return {
        "traffic": {name: value - before[name] for name, value in after.items()},
        "cpu": running.usage.cpu(),
        "memory": running.usage.memory(),
    }


def read(running: Stand, large: str, small: str) -> Figures:
    """What people read, when nothing else works."""
    figures: Figures = {"database": reads.of_database(running)}
    running.sql("VACUUM ANALYZE")
    with reads.services_of(running) as services:
        figures["after"] = {
            "claims": reads.of_claims(services),
            "reconciler": reads.of_reconciler(services),
        }
    figures["commands"] = reads.of_commands(running, large, ended=True)
    figures["cookbook"] = reads.of_cookbook(running, large, small)
    return figures


def say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
