"""When a job's steps happened, from its database rows: seconds after the start of the command."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import text

from models.engine import Connection, Database

MOMENTS = {
    "submitted": "SELECT min(created_at) FROM jobs",
    "first_prepared": "SELECT min(at) FROM events WHERE name = 'image.prepared'",
    "last_prepared": "SELECT max(at) FROM events WHERE name = 'image.prepared'",
    "last_uploaded": "SELECT max(at) FROM events WHERE name = 'image.uploaded'",
    "first_asked": "SELECT min(started_at) FROM calls",
    "first_answered": "SELECT min(settled_at) FROM calls",
    "last_leaf_asked": "SELECT max(c.started_at) FROM calls c JOIN nodes n ON n.id = c.node_id"
    " WHERE n.kind = 'leaf'",
    "finished": "SELECT max(finished_at) FROM jobs",
}
UNPREPARED = """
SELECT count(*) FROM events WHERE name = 'image.prepared'
AND at > (SELECT min(started_at) FROM calls)
"""
PARENT_LATE = """
SELECT max(c.started_at - k.last) FROM calls c
JOIN (SELECT parent_id, max(finished_at) AS last FROM nodes WHERE parent_id IS NOT NULL
      GROUP BY parent_id) k ON k.parent_id = c.node_id
"""
"""Longest time from the end of a branch's last child to the branch's own call."""
LEAF_LATE = """
SELECT avg(c.started_at - u.last) FROM calls c
JOIN (SELECT i.node_id, max(e.at) AS last FROM events e JOIN images i ON i.id = e.image_id
      WHERE e.name = 'image.uploaded' GROUP BY i.node_id) u ON u.node_id = c.node_id
"""
"""Mean time from a leaf's last upload to the leaf's call, waits for account limits included."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """Seconds after the start; ``unprepared``: images not yet prepared at the first call."""

    at: dict[str, float]
    unprepared: int
    parent_late: float | None
    leaf_late: float | None


def timeline(database: Path, started_at: float) -> Timeline:
    """Read a finished job's rows. The database uses the machine's clock."""
    opened = Database(f"sqlite:///{database}")
    try:
        with opened.read() as connection:
            return Timeline(
                at={
                    n: (_one(connection, sql) or started_at) - started_at
                    for n, sql in MOMENTS.items()
                },
                unprepared=int(_one(connection, UNPREPARED) or 0),
                parent_late=_one(connection, PARENT_LATE),
                leaf_late=_one(connection, LEAF_LATE),
            )
    finally:
        opened.dispose()


def _one(connection: Connection, sql: str) -> float | None:
    value = connection.execute(text(sql)).scalar()
    return None if value is None else float(value)
