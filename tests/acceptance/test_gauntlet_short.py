"""The most important rows of the gauntlet in short form, run by the gauntlet's own code.

``make gauntlet`` runs all of them in full.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.gauntlet.__main__ import SHORT
from benchmarks.gauntlet.scene import ROWS, Bench
from benchmarks.gauntlet.servers import Postgres

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    folder = Path(tempfile.mkdtemp(prefix="overstory-gauntlet-"))
    postgres = Postgres(folder / "postgres")
    yield Bench(folder, postgres, seed=1, short=True)
    postgres.close()
    shutil.rmtree(folder)


@pytest.mark.parametrize("row", SHORT)
def test_the_row_passes(row: str, bench: Bench) -> None:
    figures = ROWS[row](bench)
    assert not figures.broken, figures.as_json()
