"""Check the five invariants from the endpoint's own ledger and the database's rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import text

from models.engine import Database
from tests.support.faults.crash_points import held_by

PAID = {200, 499}  # 499: the caller disconnected, but pays
SPOILED = {"cut", "invalid_json", "no_choices", "content_filter", "length", "empty"}
"""Replies that were paid but are unusable: a repeat of the request does not count as paid twice."""


@dataclass(slots=True)
class Figures:
    """A row's figures, and the promises it broke."""

    row: str
    title: str
    seconds: float = 0.0
    images: int = 0
    nodes: int = 0
    calls: int = 0  # paid, by the endpoint's count
    extra: int = 0  # of them, paid a second time
    allowed: int = 0  # of them, allowed: they were in flight at the kills
    kills: int = 0
    recovery: float | None = None  # longest time from a fault to the next recorded step, seconds
    notes: dict[str, Any] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    def expect(self, holds: bool, sentence: str) -> None:
        """Record ``sentence`` as broken unless ``holds``."""
        if not holds:
            self.broken.append(sentence)

    @property
    def passed(self) -> bool:
        return not self.broken

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "passed": self.passed}


@dataclass(frozen=True, slots=True)
class Paid:
    """Counts of paid replies."""

    calls: int
    useful: int
    repeated: int
    spoiled: int


def paid(ledger: Sequence[Mapping[str, Any]]) -> Paid:
    """Count the ledger's paid replies. ``repeated``: usable ones to an answered request."""
    replies = [line for line in ledger if line["event"] == "reply" and line["status"] in PAID]
    useful = [line for line in replies if line["kind"] not in SPOILED]
    distinct = Counter(line["request"] for line in useful)
    return Paid(
        calls=len(replies),
        useful=len(useful),
        repeated=sum(count - 1 for count in distinct.values()),
        spoiled=len(replies) - len(useful),
    )


def most_files(ledger: Sequence[Mapping[str, Any]]) -> int:
    """The most files that the endpoint held at once."""
    held = most = 0
    for line in ledger:
        held += (line["event"] == "upload") - (line["event"] == "delete")
        most = max(most, held)
    return most


def started_by(database: Database, pid: int) -> int:
    """Calls that process ``pid`` has started and not settled."""
    return number(
        database,
        "SELECT count(*) FROM calls WHERE status = 'started' AND lease_token LIKE :held",
        held=f"{held_by(pid)}%",
    )


def check_rows(database: Database, jobs: Collection[str], figures: Figures) -> None:
    """Check I1, I2 and the database part of I5."""
    for job in jobs:
        _check_job(database, job, figures)
    leases = "SELECT count(*) FROM {} WHERE lease_token IS NOT NULL"
    for table in ("images", "nodes"):
        held = number(database, leases.format(table))
        figures.expect(held == 0, f"I5: {held} {table} still leased")
    started = number(database, "SELECT count(*) FROM calls WHERE status = 'started'")
    figures.expect(started == 0, f"I5: {started} calls still started")


def coverage_holds(database: Database, job: str) -> bool:
    """Whether the job has exactly one row for every submitted image."""
    rows = "SELECT count(*) FROM images WHERE job_id = :job"
    known = "SELECT submitted FROM jobs WHERE id = :job"
    return number(database, rows, job=job) == number(database, known, job=job)


RULES = (
    (
        "I1: the job has not ended",
        (
            "SELECT count(*) FROM jobs WHERE id = :job"
            " AND status NOT IN ('completed', 'partial', 'failed', 'cancelled')"
        ),
        0,
    ),
    (
        "I1: nodes are not settled",
        (
            "SELECT count(*) FROM nodes WHERE job_id = :job"
            " AND status NOT IN ('done', 'failed', 'split', 'cancelled')"
        ),
        0,
    ),
    (
        "I1: coverage does not add up",
        (
            "SELECT count(*) FROM jobs WHERE id = :job"
            " AND included + failed + duplicate + skipped <> submitted"
        ),
        0,
    ),
    (
        "I1: the job's count differs from its rows",
        (
            "SELECT abs(j.included - (SELECT count(*) FROM images i"
            " WHERE i.job_id = j.id AND i.status = 'included')) FROM jobs j WHERE j.id = :job"
        ),
        0,
    ),
    (
        "I2: finished roots",
        "SELECT count(*) FROM nodes WHERE job_id = :job AND parent_id IS NULL AND status = 'done'",
        1,
    ),
    ("I2: answers", "SELECT count(*) FROM jobs WHERE id = :job AND answer IS NOT NULL", 1),
    (
        "I2: ends",
        (
            "SELECT count(*) FROM events WHERE job_id = :job"
            " AND name IN ('job.completed', 'job.partial')"
        ),
        1,
    ),
    (
        "I2: included images without a finished leaf",
        (
            "SELECT count(*) FROM images i LEFT JOIN nodes n ON n.id = i.node_id"
            " WHERE i.job_id = :job AND i.status = 'included'"
            " AND (n.id IS NULL OR n.status <> 'done')"
        ),
        0,
    ),
    (
        "I2: nodes recorded twice",
        (
            "SELECT count(*) FROM (SELECT node_id FROM events WHERE job_id = :job"
            " AND name = 'node.done' GROUP BY node_id HAVING count(*) > 1) AS repeated"
        ),
        0,
    ),
)
"""Rules for an ended job: description, counting query, expected count."""


def _check_job(database: Database, job: str, figures: Figures) -> None:
    for rule, sql, expected in RULES:
        actual = number(database, sql, job=job)
        figures.expect(actual == expected, f"{rule}: {actual} for {job}, expected {expected}")


def worst_recovery(database: Database, faults: Sequence[float]) -> float | None:
    """The longest time from a fault (seconds since 1970) to the next recorded step, in seconds."""
    waits = []
    for at in faults:
        following = _scalar(
            database,
            "SELECT min(at) FROM events WHERE at > :at"
            " AND name IN ('node.done', 'image.prepared', 'image.uploaded', 'image.failed')",
            at=at,
        )
        if following is not None:
            waits.append(float(following) - at)
    return max(waits, default=None)


def standing(database: Database) -> dict[str, int]:
    """Row counts by table and status, for the message about a job that did not end."""
    counts: dict[str, int] = {}
    for table in ("jobs", "images", "nodes", "calls"):
        with database.read() as connection:
            rows = connection.execute(
                text(f"SELECT status, count(*) FROM {table} GROUP BY status")
            ).all()
        counts |= {f"{table}.{status}": count for status, count in rows}
    return counts


def count(database: Database, table: str, where: str = "1 = 1") -> int:
    return number(database, f"SELECT count(*) FROM {table} WHERE {where}")


def number(database: Database, sql: str, **values: object) -> int:
    """The one number that ``sql`` selects; 0 for NULL."""
    return int(_scalar(database, sql, **values) or 0)


def _scalar(database: Database, sql: str, **values: object) -> Any:
    with database.read() as connection:
        return connection.execute(text(sql), values).scalar()
