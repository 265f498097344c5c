"""Exports of a job by units: a row for each unit, or for each image with its unit."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from core.errors import WrongUsage
from models.engine import Database
from overstory.export.parquet import write_parquet
from overstory.export.rows import Export
from overstory.export.units import export_of
from overstory.export.writers import WRITERS
from tests.support import jobs
from tests.support.account import on_one_database
from tests.support.shell import say
from tests.support.units import COVERAGE, Given, ended, job_of

SCHEMA = {
    "type": "object",
    "properties": {"rooms": {"type": "integer"}, "shop": {"properties": {"name": {}}}},
}
OBJECTS = [
    Given("Oak", {"shop": {"name": "Tee"}, "rooms": 4}, ("included", "included")),
    Given("=cmd()", None, ("failed",)),
]


def text_of(export: Export, kind: str) -> str:
    return "".join(WRITERS[kind](export, False))


def test_a_row_is_a_unit_with_its_answer_counts_positions_and_cost(database: Database) -> None:
    export = export_of(database, job_of(database, ended(database)))
    rows: list[dict[str, Any]] = [
        json.loads(line) for line in text_of(export, "jsonl").split("\n")[:-1]
    ]
    assert rows[1] == {
        "number": 2, "unit": "Flat 3", "answer": "An empty flat [5].", "error": None,
        "submitted": 2, "included": 1, "failed": 1, "duplicate": 0, "skipped": 0,
        "duplicate_of": None, "images": [4, 5], "cost": 0.0,
        "agent": "Kim", "rooms": None,
    }  # fmt: skip
    assert rows[2]["duplicate_of"] == 1
    assert (rows[3]["answer"], rows[3]["error"]) == (None, "[9] the provider refused it")
    assert {name: sum(row[name] for row in rows) for name in COVERAGE} == COVERAGE


@on_one_database
def test_a_spreadsheet_has_a_column_for_each_value(database: Database, tmp_path: Path) -> None:
    export = export_of(database, job_of(database, ended(database, OBJECTS, SCHEMA)))
    rows = list(csv.DictReader(io.StringIO(text_of(export, "csv"))))
    assert list(rows[0])[:5] == ["number", "unit", "answer.rooms", "answer.shop.name", "error"]
    assert (rows[0]["answer.rooms"], rows[0]["images"]) == ("4", "[1, 2]")
    assert (rows[1]["unit"], rows[1]["answer.rooms"]) == ("'=cmd()", "")
    write_parquet(export, tmp_path / "units.parquet")
    read = parquet.read_table(tmp_path / "units.parquet").to_pylist()
    assert [row["answer.rooms"] for row in read] == [4, None]
    assert (read[0]["images"], read[0]["cost"]) == ("[1, 2]", 0.0)


@on_one_database
def test_images_can_be_exported_with_their_unit(database: Database) -> None:
    export = export_of(database, job_of(database, ended(database)), "images")
    rows = list(csv.DictReader(io.StringIO(text_of(export, "csv"))))
    assert list(rows[0])[:3] == ["position", "name", "unit"]
    assert "answer" not in rows[0]
    assert [row["unit"] for row in rows][3:6] == ["Flat 3", "Flat 3", "copy of 12 Oak Street"]
    assert rows[0]["note"] == "a barn [1]"


@on_one_database
def test_a_job_without_units_has_no_rows_of_them(database: Database) -> None:
    job = job_of(database, jobs.submit(database, [2]))
    assert export_of(database, job).count == "2 images"
    assert "unit" not in json.loads(text_of(export_of(database, job), "jsonl").split("\n")[0])
    with pytest.raises(WrongUsage, match="is not by units"):
        export_of(database, job, "units")


def test_the_command_exports_units_or_images(own: Database, tmp_path: Path) -> None:
    job = ended(own)
    said = say("export", job, "-o", str(tmp_path / "units.csv"))
    assert said.stderr.endswith("units.csv (4 units)\n")
    assert (tmp_path / "units.csv").read_text().count("\n") == 5
    assert len(say("export", job, "--rows", "images").stdout.splitlines()) == 9
