"""Ended jobs by units, as rows: what the engine would have left."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from sqlalchemy import insert

from core.job_options import JobOptions
from models.engine import Database
from models.reads import pipeline
from models.reads.pipeline import JobRow
from models.tables import Call, Image, Job, Node, Unit

NUMBERS = count(1)
CALL = {"account": "a", "model": "m", "currency": "USD", "reserved_tokens": 1, "started_at": 1.0}
CALL |= {"lease_token": "t", "lease_until": 0.0}


@dataclass(frozen=True)
class Given:
    """A unit: its name, answer, the status of each image, and the leaf (an index) of these."""

    name: str
    answer: Any = None
    statuses: Sequence[str] = ("included",)
    leaf: int = 0
    duplicate_of: int | None = None


LISTINGS = (
    Given("12 Oak Street", "A red barn with two doors [1].", ("included", "included", "duplicate")),
    Given("Flat 3", "An empty flat [5].", ("failed", "included"), leaf=1),
    Given("copy of 12 Oak Street", "A red barn with two doors [1].", ("duplicate",) * 3, 0, 1),
    Given("Garage", None, ("failed",), leaf=1),
)
COVERAGE = {"submitted": 9, "included": 3, "failed": 2, "duplicate": 4, "skipped": 0}


def ended(
    database: Database,
    units: Sequence[Given] = LISTINGS,
    schema: Mapping[str, Any] | None = None,
    ask: str | None = None,
    answer: str = "",
) -> str:
    """Insert a job by folders that has ended, with a leaf for each index and a root above them;
    returns its id."""
    job = f"units{next(NUMBERS)}"
    options = JobOptions(
        each="What is it?",
        each_only=ask is None,
        by="folder",
        schema=json.dumps(schema) if schema else None,
    )
    given = {"id": job, "key": job, "ask": ask or "What is it?", "answer": answer or None}
    given |= {"status": "partial", "model": "m", "provider": "p", "endpoint": "e", "account": "a"}
    given |= {"detail": "low", "options": options, "created_at": 1.0, "finished_at": 9.0}
    images = [(number, unit, s) for number, unit in enumerate(units, 1) for s in unit.statuses]
    with database.write() as connection:
        connection.execute(insert(Job).values(**given, submitted=len(images)))
        root = node(connection, job, kind="branch", level=1, status="done")
        leaves = {
            leaf: node(connection, job, parent_id=root, status="done")
            for leaf in sorted({unit.leaf for unit in units})
        }
        rows = [
            {
                "job_id": job, "position": n, "name": f"{unit.name}/{n}.jpg", "updated_at": 1.0,
                "location": f"/{unit.name}/{n}.jpg", "status": status, "unit": number,
                "node_id": None if status == "duplicate" else leaves[unit.leaf],
                "duplicate_of": 1 if status == "duplicate" else None,
                "sha256": f"sha-{n}", "seen": "line" if status == "included" else None,
                "error_code": "blocked" if status == "failed" else None,
                "error": "the provider refused it" if status == "failed" else None,
                "note": f"a barn [{n}]" if status == "included" else None,
                "facts": {"agent": "Kim", "rooms": n},
            }
            for n, (number, unit, status) in enumerate(images, start=1)
        ]  # fmt: skip
        connection.execute(insert(Image), rows)
        values = [
            {
                "job_id": job, "number": number, "name": unit.name, "answer": unit.answer,
                "duplicate_of": unit.duplicate_of,
            }
            for number, unit in enumerate(units, start=1)
        ]  # fmt: skip
        connection.execute(insert(Unit), values)
    return job


def node(connection: Any, job: str, **values: Any) -> int:
    """Insert a node, a leaf unless ``values`` say otherwise."""
    usual = {"kind": "leaf", "level": 0, "first_position": 1, "last_position": 99, "pending": 0}
    made = insert(Node).values(**usual | {"job_id": job, "status": "done"} | values)
    return int(connection.execute(made.returning(Node.id)).scalar_one())


def call(connection: Any, job: str, node_id: int | None, cost: float, **values: Any) -> None:
    """Insert a settled call; it showed images unless ``values`` say otherwise."""
    usual = CALL | {"job_id": job, "node_id": node_id, "cost": cost, "images": 1}
    usual |= {"status": "settled", "key": f"call-{next(NUMBERS)}"}
    connection.execute(insert(Call).values(**usual | values))


def job_of(database: Database, job: str) -> JobRow:
    with database.read() as connection:
        row = pipeline.job(connection, job)
    assert row is not None
    return row
