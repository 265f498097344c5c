"""The views, in Python: what analysts read in SQL, named queries may read here.

A view's columns are listed where it is made (migrations/versions/0002_the_views.py), each with its
comment; here are only the names. Values come as the database gives them: times are datetimes in
PostgreSQL, and text of the same order, 'YYYY-MM-DD HH:MM:SS.sss' in UTC, in SQLite.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, TableClause, column, func, select, table

JOBS = table("v_jobs", column("job"), column("status"), column("label"))
IMAGES = table("v_images", column("job"), column("position"), column("status"))
NODES = table("v_nodes", column("job"), column("node"), column("status"))
CALLS = table("v_calls", column("job"), column("call"), column("status"))
USAGE_DAILY = table("v_usage_daily", column("day"), column("account"), column("cost"))
FAILURES = table("v_failures", column("scope"), column("job"), column("code"), column("at"))
DELIVERIES = table("v_deliveries", column("job"), column("url"), column("status"))
VIEWS = (JOBS, IMAGES, NODES, CALLS, USAGE_DAILY, FAILURES, DELIVERIES)


def rows(
    connection: Connection, view: TableClause, limit: int, **equal: Any
) -> list[dict[str, Any]]:
    """At most ``limit`` whole rows of ``view`` whose columns have the values given."""
    found = select("*").select_from(view).limit(limit)
    for name, value in equal.items():
        found = found.where(column(name) == value)
    return [dict(row) for row in connection.execute(found).mappings()]


def failures_by_scope(connection: Connection) -> dict[tuple[str, str], int]:
    """How much failed, by scope (job, image, node, call) and code."""
    scope, code = FAILURES.c.scope, func.coalesce(FAILURES.c.code, "")
    found = select(scope, code, func.count()).group_by(scope, code)
    return {(str(row[0]), str(row[1])): int(row[2]) for row in connection.execute(found)}
