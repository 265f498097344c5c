"""Rows without workers: the fan-in race on PostgreSQL, and many writers on SQLite."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import text

from benchmarks.gauntlet.rows import ON_POSTGRES, ROWS, Run
from core.job_options import JobOptions
from core.tree.plan import plan_tree
from models import new_job
from models.engine import Database
from models.new_job import NewImage, NewJob
from models.state import Moved
from tests.support import jobs
from tests.support.faults import judge
from tests.support.faults.judge import Figures
from tests.support.faults.scene import Bench
from tests.support.faults.servers import SqliteStore, migrate
from tests.support.faults.writers import WRITERS, report_of, start_writer

THREADS, TIMES, CHILDREN = 12, 3, 4
JOB = NewJob(
    "race", "race", "?", None, "step-3.7-flash", "stepfun", "e", "account", "low", 1.0, JobOptions()
)


def inside_row(
    number: str, title: str, postgres: bool = False
) -> Callable[[Callable[[Bench, Figures], None]], Run]:
    """A row that sets up everything itself."""

    def wrap(body: Callable[[Bench, Figures], None]) -> Run:
        def run(bench: Bench) -> Figures:
            figures, begun = Figures(number, title), time.monotonic()
            body(bench, figures)
            figures.seconds = time.monotonic() - begun
            return figures

        ROWS[number] = run
        if postgres:
            ON_POSTGRES.add(number)
        return run

    return wrap


@inside_row("13", "children of one parent end at the same moment, each reported three times", True)
def fan_in(bench: Bench, figures: Figures) -> None:
    store = bench.postgres.store()
    migrate(store)
    database = Database(store.url)
    try:
        _race(database, bench, figures)
    finally:
        database.dispose()
        store.close()


def _race(database: Database, bench: Bench, figures: Figures) -> None:
    leaves = bench.scaled(600, 120) * CHILDREN
    images = [NewImage(f"{n}", f"{n}", None, None, 1, None, n) for n in range(leaves)]
    with database.write() as connection:
        new_job.insert_job(connection, JOB, images, plan_tree(leaves, CHILDREN))
        connection.execute(text("UPDATE images SET status = 'uploaded'"))
        ids = connection.execute(
            text(
                "UPDATE nodes SET status = 'running', lease_token = 'mine', pending = 0"
                " WHERE kind = 'leaf' RETURNING id"
            )
        ).scalars()
        reports = list(ids) * TIMES
    random.Random(bench.seed).shuffle(reports)

    def report(node: int) -> None:
        with database.write() as connection:
            jobs.node_done(connection, node, "mine", "seen", Moved())

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(report, reports))
    parents = judge.count(database, "nodes", "kind = 'branch' AND level = 1")
    never = judge.count(database, "nodes", "level = 1 AND status <> 'ready'")
    starts = "name = 'node.ready'"
    figures.images, figures.nodes = leaves, parents
    figures.notes |= {"reports": len(reports), "started": judge.count(database, "events", starts)}
    figures.expect(never == 0, f"{never} parents never became ready")
    figures.expect(
        judge.count(database, "events", starts) == parents, "a parent became ready twice"
    )


@inside_row("14", "eight processes write to one SQLite file; two are killed halfway")
def writers(bench: Bench, figures: Figures) -> None:
    store = SqliteStore(bench.folder / "writers.db")
    migrate(store)
    seconds = bench.scaled(20, 4)
    crowd = [start_writer(store.path, seconds) for _ in range(WRITERS)]
    time.sleep(seconds / 2)
    for victim in crowd[:2]:
        victim.kill()
        figures.kills += 1
    found = [report_of(writer) for writer in crowd]
    survivors = [said for said in found if said]
    figures.notes |= {
        "writes": sum(report["writes"] for report in survivors),
        "p99_ms": max(report["p99_ms"] for report in survivors),
        "worst_ms": max(report["worst_ms"] for report in survivors),
    }
    errors = [error for report in survivors for error in report["errors"]]
    figures.expect(len(survivors) == WRITERS - 2, f"{len(survivors)} writers finished")
    figures.expect(not errors, f"{len(errors)} writes failed: {errors[:1]}")
    figures.expect(store.intact(), "the SQLite file fails its integrity check")
