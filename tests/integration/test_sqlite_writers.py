"""Many processes write to one SQLite file while two of them are killed."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.engine import Database
from tests.support.faults.judge import count
from tests.support.faults.servers import SqliteStore, migrate
from tests.support.faults.writers import WRITERS, report_of, start_writer
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow

SECONDS = 4.0


def calls_in(store: SqliteStore) -> int:
    database = Database(store.url)
    try:
        return count(database, "calls")
    finally:
        database.dispose()


def test_writers_never_meet_a_locked_database(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "writers.db")
    migrate(store)
    writers = [start_writer(store.path, SECONDS) for _ in range(WRITERS)]
    eventually(lambda: calls_in(store) > WRITERS)
    for victim in writers[:2]:
        victim.kill()
    reports = [report for report in map(report_of, writers) if report]
    assert len(reports) >= WRITERS - 2
    assert [error for report in reports for error in report["errors"]] == []
    assert store.intact()
