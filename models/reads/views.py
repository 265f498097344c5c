"""Queries on the views that analysts read in SQL.

The migrations (migrations/versions/, from 0002) define the views and describe each column; here are
only names. Values are as the database returns them: times are datetimes in PostgreSQL, and sortable
text, 'YYYY-MM-DD HH:MM:SS.sss' in UTC, in SQLite.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnClause, Connection, Function, TableClause, column, func, select, table

JOBS = table("v_jobs", column("job"), column("status"), column("label"), column("owner"))
IMAGES = table("v_images", column("job"), column("position"), column("status"), column("seen"))
NODES = table("v_nodes", column("job"), column("node"), column("status"))
CALLS = table("v_calls", column("job"), column("call"), column("status"))
USAGE_DAILY = table("v_usage_daily", column("day"), column("account"), column("cost"))
FAILURES = table("v_failures", column("scope"), column("job"), column("code"), column("at"))
DELIVERIES = table("v_deliveries", column("job"), column("url"), column("status"))
ANSWERS = table("v_answers", column("job"), column("position"), column("answer"))
UNITS = table("v_units", column("job"), column("unit"), column("answer"), column("cost"))
VIEWS = (JOBS, IMAGES, NODES, CALLS, USAGE_DAILY, FAILURES, DELIVERIES, ANSWERS, UNITS)


def rows(
    connection: Connection, view: TableClause, limit: int, **equal: Any
) -> list[dict[str, Any]]:
    """Up to ``limit`` rows of ``view`` whose columns have the values in ``equal``."""
    query = select("*").select_from(view).limit(limit)
    for name, value in equal.items():
        query = query.where(column(name) == value)
    return [dict(row) for row in connection.execute(query).mappings()]


@dataclass(frozen=True, slots=True)
class ModelUsage:
    """The usage of one model in one currency, summed over all accounts."""

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
    rows = connection.execute(select(*keys, *sums).select_from(USAGE_DAILY).group_by(*keys))
    usages = []
    for model, currency, *totals, cost in rows:
        # int: PostgreSQL sums whole numbers to decimals
        counts = {name: int(total) for name, total in zip(names, totals, strict=True)}
        usages.append(ModelUsage(model, currency, **counts, cost=float(cost)))
    return usages


def jobs_by_status(connection: Connection) -> dict[str, int]:
    query = select(JOBS.c.status, func.count()).group_by(JOBS.c.status)
    return {str(status): int(count) for status, count in connection.execute(query)}


def failures_by_scope(connection: Connection) -> dict[tuple[str, str], int]:
    """The number of failures by scope (job, image, node, call) and code."""
    scope, code = FAILURES.c.scope, func.coalesce(FAILURES.c.code, "")
    query = select(scope, code, func.count()).group_by(scope, code)
    return {(str(row[0]), str(row[1])): int(row[2]) for row in connection.execute(query)}
