"""What reads a large job: claims, the reconciler, commands, the cookbook's queries."""

from __future__ import annotations

import json
import math
import re
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.scale.commands import timed
from benchmarks.scale.stand import Stand
from benchmarks.sql import HEADED, ROOT
from core.states import ImageStatus, NodeKind
from models import claims, repair, retention
from models.claims import Lease
from models.state import Moved
from overstory.local.job_runner import planning_services
from tasks.runtime.services import Services
from tasks.upkeep.reconciler import Reconciler

RUNS = 9
LARGE_TABLES = ("images", "nodes", "calls", "events", "files")
Figures = dict[str, Any]


@contextmanager
def services_of(running: Stand) -> Iterator[Services]:
    services = planning_services(running.settings)
    try:
        yield services
    finally:
        services.close()


def milliseconds(work: Callable[[], object], runs: int = RUNS) -> Figures:
    """The shortest, the median and the longest of some runs."""
    took = []
    for _ in range(runs):
        began = time.perf_counter()
        work()
        took.append(1000 * (time.perf_counter() - began))
    return {"least": min(took), "median": statistics.median(took), "most": max(took)}


def of_claims(services: Services) -> Figures:
    """The product's own functions, in transactions that are undone."""
    lease, account, database = Lease("benchmark", 30.0), services.account, services.database

    def images(status: ImageStatus) -> Callable[[], None]:
        def claim() -> None:
            with database.write() as connection:
                claims.claim_images(connection, account, status, lease, 32, 5, shares=True)
                connection.rollback()

        return claim

    def node(kind: NodeKind) -> Callable[[], None]:
        def find() -> None:
            with database.read() as connection:
                claims.next_node(connection, account, kind)

        return find

    figures = {
        f"claim of 32 {status} images, counted first": milliseconds(images(status))
        for status in (ImageStatus.PENDING, ImageStatus.PREPARED)
    }
    return figures | {f"next {kind}": milliseconds(node(kind)) for kind in NodeKind}


def of_reconciler(services: Services) -> Figures:
    """A round with the countdowns' check, rounds without, and the hourly sweep's query."""
    rounds = Reconciler(services, next_tidy=math.inf)
    uploads = [f"upload:local/{number:064x}" for number in range(1_000)]

    def sweep() -> None:
        with services.database.read() as connection:
            retention.used_uploads(connection, uploads, ())

    def recount() -> None:
        with services.database.write() as connection:
            repair.recount(connection, Moved())

    return {
        "round with the check of countdowns": milliseconds(rounds.tick, 1),
        "round": milliseconds(rounds.tick),
        "check of countdowns alone": milliseconds(recount, 1),
        "which of 1,000 uploads are in use": milliseconds(sweep, 1),
    }


def of_commands(running: Stand, job: str, ended: bool) -> Figures:
    folder = running.folder
    report, table = folder / "report.html", folder / "export.jsonl"
    figures = {
        "jobs": timed(running, "jobs"),
        "jobs --limit 300 --json": timed(running, "jobs", "--limit", "300", "--json"),
        "show": timed(running, "show", job),
        "show --json": timed(running, "show", job, "--json"),
        "images --status failed": timed(running, "images", job, "--status", "failed"),
    }
    if ended:
        figures |= {
            "tree": timed(running, "tree", job),
            "report": timed(running, "report", job, "-o", str(report), made=report),
            "export --format jsonl": timed(
                running, "export", job, "--format", "jsonl", "--out", str(table), made=table
            ),
        }
    return {name: asdict(figure) for name, figure in figures.items()}


def of_cookbook(running: Stand, job: str, small: str) -> Figures:
    """Every query of docs/sql.md that PostgreSQL takes: milliseconds of the second run, rows, and
    the large tables that it reads in full. ``small``: a job of the label ``small``."""
    some = "SELECT position, name, source_sha256 FROM images WHERE job_id = %s AND position = 500"
    [(position, name, sha256)] = running.sql(some, [job]) or [(1, "", "")]
    values = {"job": job, "label": "small", "since": "2026-01-01", "position": position}
    values |= {"name": name, "sha256": sha256, "words": "plain grey marks", "unit": "none"}
    url = str(running.settings.database_url).replace("+psycopg", "")
    figures = {}
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET statement_timeout = '300s'")
        for title, kind, sql in HEADED.findall((ROOT / "docs" / "sql.md").read_text("utf-8")):
            if kind in ("", "postgresql"):
                used = {key: value for key, value in values.items() if f":{key}" in sql}
                figures[_short(title)] = _query(connection, sql.strip().rstrip(";"), used)
    return figures


def _short(title: str) -> str:
    return title.strip().partition(". ")[0].partition(", and ")[0].rstrip(".:")[:70]


def _query(connection: psycopg.Connection[Any], sql: str, values: dict[str, Any]) -> Figures:
    query = re.sub(r"(?<!:):(\w+)", r"%(\1)s", sql.replace("%", "%%")).encode()
    try:
        for _ in range(2):
            began = time.perf_counter()
            rows = len(connection.execute(query, values).fetchall())
            took = time.perf_counter() - began
        [(plan,)] = connection.execute(b"EXPLAIN (FORMAT JSON) " + query, values).fetchall()
    except psycopg.errors.QueryCanceled:
        return {"ms": 300_000.0, "rows": 0, "full": ["longer than 300 s"]}
    return {"ms": 1000 * took, "rows": rows, "full": sorted(set(_full_reads(plan[0]["Plan"])))}


def _full_reads(plan: Figures) -> Iterator[str]:
    if plan["Node Type"] == "Seq Scan" and plan["Relation Name"] in LARGE_TABLES:
        yield plan["Relation Name"]
    for part in plan.get("Plans", ()):
        yield from _full_reads(part)


def age(running: Stand) -> None:
    """Make jobs and prepared images look two hours older, for prune."""
    running.sql(
        "UPDATE jobs SET finished_at = finished_at - 7200, created_at = created_at - 7200"
        " WHERE finished_at IS NOT NULL"
    )
    import os

    old = time.time() - 7200
    for blob in Path(running.settings.home, "blobs").glob("*/*"):
        os.utime(blob, (old, old))


def of_prune(running: Stand) -> Figures:
    """The small jobs by their label, then the rest. It deletes what was measured."""
    age(running)
    hour = ("prune", "--older-than", "1h")
    figures = {
        "prune --dry-run": timed(running, *hour, "--dry-run", "--json"),
        "prune --label small": timed(running, *hour, "--label", "small", "--json"),
        "prune": timed(running, *hour, "--json"),
    }
    return {name: asdict(figure) for name, figure in figures.items()}


def of_database(running: Stand) -> Figures:
    """Bytes of tables and indexes, and the statements that took the most time."""
    tables = running.sql(
        "SELECT relname, pg_table_size(oid), pg_indexes_size(oid), reltuples::bigint FROM pg_class"
        " WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        " AND pg_total_relation_size(oid) > 1000000 ORDER BY pg_total_relation_size(oid) DESC"
    )
    [(size,)] = running.sql("SELECT pg_database_size(current_database())")
    indexes = running.sql(
        "SELECT indexrelname, pg_relation_size(indexrelid), idx_scan FROM pg_stat_user_indexes"
        " ORDER BY 2 DESC LIMIT 25"
    )
    return {
        "bytes": int(size),
        "tables": {name: [int(t), int(i), int(n)] for name, t, i, n in tables},
        "indexes": {name: [int(b), int(n)] for name, b, n in indexes},
    }


def statements(running: Stand, most: int = 25) -> list[Figures]:
    """The statements that took the most time since the last reset."""
    rows = running.sql(
        "SELECT query, calls, total_exec_time, mean_exec_time, max_exec_time, rows,"
        " shared_blks_hit + shared_blks_read FROM pg_stat_statements s JOIN pg_database d"
        " ON d.oid = s.dbid WHERE datname = current_database()"
        " ORDER BY total_exec_time DESC LIMIT %s",
        [most],
    )
    names = ("query", "calls", "total_ms", "mean_ms", "most_ms", "rows", "blocks")
    return [dict(zip(names, row, strict=True)) for row in rows]


def write(path: Path, figures: Figures) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(figures, indent=1, default=float), encoding="utf-8")
