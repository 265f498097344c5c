"""Exports on both databases: one complete, ordered and harmless row per image."""

from __future__ import annotations

import builtins
import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet
from sqlalchemy import insert, update

from core.errors import WrongUsage
from core.job_options import JobOptions
from models.engine import Database
from models.reads import export, pipeline
from models.tables import Image, Job, Node
from overstory.export.parquet import write_parquet
from overstory.export.rows import Export
from overstory.export.writers import WRITERS, safe

SCHEMA = {
    "type": "object",
    "properties": {
        "shop": {"type": "object", "properties": {"name": {"type": "string"}}},
        "total": {"type": "number"},
        "items": {"type": "array", "items": {"type": "string"}},
        "paid": {"type": "boolean"},
        "image": {"type": "integer", "x-image": True},
    },
}
ANSWER = {"total": -12.5, "paid": True, "shop": {"name": "=HYPERLINK(1)"}, "items": ["Tee|a", "b"]}
HOSTILE = [
    '=cmd|"/c calc"!A1.jpg',
    "+1.jpg",
    "@x.jpg",
    "-2+3.jpg",
    "＝1.jpg",
    "\t=1.jpg",
    "žluť.jpg",
]


def written(database: Database, answers: list[Any], **options: Any) -> Export:
    """An export of a job whose images have ``answers``; None is a failed image."""
    job = {"id": "j", "key": "j", "status": "partial", "ask": "?", "model": "m", "provider": "p"}
    job |= {
        "endpoint": "e",
        "account": "a",
        "detail": "low",
        "options": JobOptions(**options),
        "created_at": 1.0,
    }
    node = {"job_id": "j", "kind": "leaf", "level": 0, "first_position": 1, "status": "done"}
    node |= {"last_position": len(answers), "pending": 0, "text": "[1] a red barn\n[2] two cows"}
    with database.write() as connection:
        connection.execute(insert(Job).values(**job, submitted=len(answers)))
        leaf = connection.execute(insert(Node).values(**node).returning(Node.id)).scalar_one()
        rows = [
            {
                "job_id": "j", "position": n, "node_id": leaf, "updated_at": 1.0, "answer": answer,
                "name": HOSTILE[n % len(HOSTILE)], "location": f"/photos/{n}.jpg",
                "status": "failed" if answer is None else "included",
                "error_code": "blocked" if answer is None else None,
                "error": "refused" if answer is None else None,
            }
            for n, answer in enumerate(answers, start=1)
        ]  # fmt: skip
        connection.execute(insert(Image), rows)
        row = pipeline.job(connection, "j")
    assert row is not None
    return Export(database, row)


def text_of(export: Export, kind: str) -> str:
    return "".join(WRITERS[kind](export, False))


def test_json_lines_keep_answers_unchanged(database: Database) -> None:
    export = written(database, [ANSWER, None], each="?", schema=json.dumps(SCHEMA))
    first, second = [json.loads(line) for line in text_of(export, "jsonl").splitlines()]
    assert first["answer"] == {**ANSWER, "image": 1}
    assert list(first["answer"]) == ["shop", "total", "items", "paid", "image"]
    assert (second["status"], second["error_code"], second["answer"]) == ("failed", "blocked", None)


def test_a_table_has_a_column_for_each_value(database: Database) -> None:
    export = written(database, [ANSWER, None], each="?", schema=json.dumps(SCHEMA))
    first, second = csv.DictReader(io.StringIO(text_of(export, "csv"), newline=""))
    assert first["answer.shop.name"] == "'=HYPERLINK(1)"
    assert (first["answer.total"], first["answer.paid"]) == ("-12.5", "true")
    assert json.loads(first["answer.items"]) == ["Tee|a", "b"]
    assert second["answer.total"] == ""


FACTS = [
    {"asset": "A1", "floor": 3, "name": "Bridge", "answer": "theirs", "ok": True, "size": 1},
    {"floor": 4, "=cmd": "=1+1", "size": 1.5},
]


def with_facts(database: Database) -> Export:
    written(database, [ANSWER, None, ANSWER], each="?", schema=json.dumps(SCHEMA))
    with database.write() as connection:
        for position, facts in enumerate(FACTS, start=1):
            image = update(Image).where(Image.position == position)
            connection.execute(image.values(facts=facts))
        row = pipeline.job(connection, "j")
    assert row is not None
    return Export(database, row)


def test_facts_are_columns_of_the_persons_own_names(database: Database) -> None:
    export = with_facts(database)
    rows = list(csv.DictReader(io.StringIO(text_of(export, "csv"), newline="")))
    assert (rows[0]["asset"], rows[0]["floor"], rows[0]["ok"]) == ("A1", "3", "true")
    assert (rows[0]["name"], rows[0]["table.name"]) == (f"'{HOSTILE[1]}", "Bridge")
    assert (rows[1]["asset"], rows[1]["'=cmd"]) == ("", "'=1+1")
    assert rows[2]["floor"] == ""
    first, *_ = [json.loads(line) for line in text_of(export, "jsonl").splitlines()]
    assert first["answer"]["paid"] is True
    assert (first["table.answer"], first["asset"], first["floor"]) == ("theirs", "A1", 3)
    assert first["=cmd"] is None


def test_facts_have_types_in_parquet(database: Database, tmp_path: Path) -> None:
    write_parquet(with_facts(database), tmp_path / "out.parquet")
    table = parquet.read_table(tmp_path / "out.parquet")
    kinds = {field.name: str(field.type) for field in table.schema}
    assert (kinds["floor"], kinds["size"], kinds["ok"]) == ("int64", "double", "bool")
    assert table["size"].to_pylist() == [1.0, 1.5, None]


def test_no_name_is_a_spreadsheet_formula_and_every_letter_is_kept(database: Database) -> None:
    export = written(database, ["x"] * 7, each="?")
    names = [row["name"] for row in csv.DictReader(io.StringIO(text_of(export, "csv"), newline=""))]
    wanted = [HOSTILE[n % 7] for n in range(1, 8)]
    assert [name.removeprefix("'") for name in names] == wanted
    assert sum(name.startswith("'") for name in names) == 6


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ("=1+1", "'=1+1"),
        ("  =1", "'  =1"),
        ("\r\n=1", "'\r\n=1"),
        ("-5 °C", "'-5 °C"),
        ("a=b", "a=b"),
        ("", ""),
        (-5, -5),
        (-5.5, -5.5),
        (None, None),
        (False, "false"),
    ],
)
def test_a_text_that_looks_like_a_formula_gets_an_apostrophe(cell: Any, shown: Any) -> None:
    assert safe(cell) == shown


def test_markdown_stays_one_table(database: Database) -> None:
    export = written(database, ["a | b\n<script>[x](y)</script>"], each="?")
    lines = text_of(export, "markdown").splitlines()
    assert len(lines) == 3
    assert r"a \| b<br>\<script\>\[x\](y)\</script\>" in lines[2]


def test_parquet_has_types(database: Database, tmp_path: Path) -> None:
    export = written(database, [ANSWER, None], each="?", schema=json.dumps(SCHEMA))
    write_parquet(export, tmp_path / "out.parquet")
    table = parquet.read_table(tmp_path / "out.parquet")
    kinds = {field.name: str(field.type) for field in table.schema}
    assert kinds["answer.total"] == "double"
    assert kinds["answer.paid"] == "bool"
    assert kinds["position"] == kinds["answer.image"] == "int64"
    assert table["answer.total"].to_pylist() == [-12.5, None]


def test_parquet_without_its_package_names_the_extra(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real: Callable[..., Any] = builtins.__import__

    def missing(name: str, *rest: Any) -> Any:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(WrongUsage, match=r"overstory\[parquet\]"):
        write_parquet(written(database, ["x"], each="?"), tmp_path / "out.parquet")


def test_a_text_job_exports_the_note_about_each_image(database: Database) -> None:
    export = written(database, ["-", "-"])
    rows = list(csv.DictReader(io.StringIO(text_of(export, "csv"), newline="")))
    assert [row["note"] for row in rows] == ["a red barn", "two cows"]


def test_a_row_has_the_line_about_the_image_and_its_proof(database: Database) -> None:
    export = written(database, ["-", "-", "-", None])
    with database.write() as connection:
        for position, note in ((1, "a barn\n[1] is red"), (2, "[2] cows\nand a dog")):
            values = {"seen": "line", "note": note}
            connection.execute(update(Image).where(Image.position == position).values(**values))
    rows = [json.loads(line) for line in text_of(export, "jsonl").splitlines()]
    assert [row["seen"] for row in rows] == ["line", "line", "sent", None]
    assert [row["note"] for row in rows] == ["a barn\n[1] is red", "cows\nand a dog", None, None]


def test_answers_have_the_columns_of_proof_too(database: Database) -> None:
    export = written(database, ["red"], each="?")
    (row,) = csv.DictReader(io.StringIO(text_of(export, "csv"), newline=""))
    assert (row["seen"], row["note"], row["answer"]) == ("sent", "", "red")


def test_a_row_says_what_a_second_look_could_not_tell(database: Database) -> None:
    export = written(database, ["red", "blue"], each="?")
    with database.write() as connection:
        values = {"look": 2, "unclear": ["total"]}
        connection.execute(update(Image).where(Image.position == 2).values(**values))
    rows = list(csv.DictReader(io.StringIO(text_of(export, "csv"), newline="")))
    assert [(row["look"], row["unclear"]) for row in rows] == [("1", ""), ("2", '["total"]')]
    (_, last) = text_of(export, "jsonl").splitlines()
    assert json.loads(last)["unclear"] == ["total"]


def test_paging_skips_nothing(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "PAGE_ROWS", 3)
    made = written(database, ["x"] * 10, each="?")
    assert [row["position"] for row in made.rows()] == list(range(1, 11))
