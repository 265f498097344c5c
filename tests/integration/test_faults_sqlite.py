"""Many processes write to one SQLite file while two of them are killed: row 14 of the gauntlet."""

from __future__ import annotations

from pathlib import Path

from benchmarks.gauntlet.rows_inside import writers
from benchmarks.gauntlet.scene import Bench
from benchmarks.gauntlet.servers import Postgres


def test_writers_never_get_a_locked_database_error(tmp_path: Path) -> None:
    figures = writers(Bench(tmp_path, Postgres(tmp_path / "none"), seed=1, short=True))
    assert not figures.broken, figures.as_json()
    assert figures.notes["writes"] > 0
