"""The lines under an answer."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from models.engine import Database
from models.reads import pipeline
from overstory.output.summary import print_summary
from tests.support import jobs


def summary(database: Database, job: str) -> list[str]:
    console = Console(file=io.StringIO(), width=200)
    with database.read() as connection:
        row = pipeline.job(connection, job)
    assert row is not None
    print_summary(console, database, row)
    told: io.StringIO = console.file  # type: ignore[assignment]
    return told.getvalue().strip().splitlines()


@pytest.mark.parametrize(
    ("leaves", "duplicates", "said"),
    [
        ([1], 0, "1 image submitted, 1 included;"),
        ([3], 1, "4 images submitted, 3 included, 1 duplicate;"),
        ([2, 2], 0, "4 images submitted, 4 included; tree of 2 leaves, 3 nodes;"),
    ],
)
def test_a_summary_does_not_call_a_plan_a_request(
    database: Database, leaves: list[int], duplicates: int, said: str
) -> None:
    job = jobs.submit(database, leaves, duplicates=duplicates)
    jobs.finish_all(database, jobs.upload_all(database, job))
    first, second = summary(database, job)
    assert first == f"job {job} completed: {said}"
    assert second == "0 requests sent, 0 tokens, 0.0000 USD"
