"""The views, in Python: what analysts read in SQL, named queries may read here.

A view's columns are listed where it is made (migrations/versions/, 0002 first), each with its
comment; here are only the names. Values come as the database gives them: times are datetimes in
PostgreSQL, and text of the same order, 'YYYY-MM-DD HH:MM:SS.sss' in UTC, in SQLite.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnClause, Connection, Function, TableClause, column, func, select, table

JOBS = table("v_jobs", column("job"), column("status"), column("label"))
IMAGES = table("v_images", column("job"), column("position"), column("status"))
NODES = table("v_nodes", column("job"), column("node"), column("status"))
CALLS = table("v_calls", column("job"), column("call"), column("status"))
USAGE_DAILY = table("v_usage_daily", column("day"), column("account"), column("cost"))
FAILURES = table("v_failures", column("scope"), column("job"), column("code"), column("at"))
DELIVERIES = table("v_deliveries", column("job"), column("url"), column("status"))
ANSWERS = table("v_answers", column("job"), column("position"), column("answer"))
VIEWS = (JOBS, IMAGES, NODES, CALLS, USAGE_DAILY, FAILURES, DELIVERIES, ANSWERS)


def rows(
    connection: Connection, view: TableClause, limit: int, **equal: Any
) -> list[dict[str, Any]]:
    """At most ``limit`` whole rows of ``view`` whose columns have the values given."""
    found = select("*").select_from(view).limit(limit)
    for name, value in equal.items():
        found = found.where(column(name) == value)
    return [dict(row) for row in connection.execute(found).mappings()]


@dataclass(frozen=True, slots=True)
class ModelUsage:
    """What was used of one model, in one currency, by all accounts together."""

    model: str
    currency: str
    settled: int
    refused: int
    failed: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    cost: float


def usage_by_model(connection: Connection) -> list[ModelUsage]:
    names = ("settled", "refused", "failed", "prompt_tokens", "cached_tokens", "completion_tokens")
    keys: list[ColumnClause[Any]] = [column("model"), column("currency")]
    sums: list[Function[Any]] = [func.sum(column(name)) for name in (*names, "cost")]
    found = select(*keys, *sums).select_from(USAGE_DAILY).group_by(*keys)
    rows = connection.execute(found).all()
    return [
        ModelUsage(
            model=row[0],
            currency=row[1],
            settled=int(row[2]),  # PostgreSQL sums whole numbers to decimals
            refused=int(row[3]),
            failed=int(row[4]),
            prompt_tokens=int(row[5]),
            cached_tokens=int(row[6]),
            completion_tokens=int(row[7]),
            cost=float(row[8]),
        )
        for row in rows
    ]


def jobs_by_status(connection: Connection) -> dict[str, int]:
    found = select(JOBS.c.status, func.count()).group_by(JOBS.c.status)
    return {str(row[0]): int(row[1]) for row in connection.execute(found)}


def failures_by_scope(connection: Connection) -> dict[tuple[str, str], int]:
    """How much failed, by scope (job, image, node, call) and code."""
    scope, code = FAILURES.c.scope, func.coalesce(FAILURES.c.code, "")
    found = select(scope, code, func.count()).group_by(scope, code)
    return {(str(row[0]), str(row[1])): int(row[2]) for row in connection.execute(found)}
