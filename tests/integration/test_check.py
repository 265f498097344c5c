"""``overstory check`` over a database: what is compared, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from core.errors import WrongUsage
from core.job_options import JobOptions
from core.truth.truth import Truth
from models.engine import Database
from models.reads import pipeline
from models.tables import Image, Job
from overstory.checking import check_job, json_of
from tests.support import shell

SCHEMA = {
    "type": "object",
    "properties": {
        "shop": {"type": "object", "properties": {"name": {"type": "string"}}},
        "zip": {"type": "string"},
        "total": {"type": "number"},
        "day": {"type": "string", "format": "date"},
    },
}
SHAPED = {"each": "?", "schema": json.dumps(SCHEMA)}


def _answered(database: Database, images: list[dict[str, Any]], **options: Any) -> pipeline.JobRow:
    """A job with these image rows; each has a status and may have an answer."""
    job = {"id": "jobj", "key": "j", "status": "running", "ask": "?", "model": "m", "provider": "p"}
    job |= {"endpoint": "e", "account": "a", "detail": "low", "created_at": 1.0}
    empty = {"answer": None, "duplicate_of": None, "status": "included", "updated_at": 1.0}
    rows = [
        empty
        | {"job_id": "jobj", "position": n, "name": f"{n}.jpg", "location": f"/in/{n}.jpg"}
        | row
        for n, row in enumerate(images, 1)
    ]
    with database.write() as connection:
        connection.execute(
            insert(Job).values(**job, options=JobOptions(**options), submitted=len(images))
        )
        connection.execute(insert(Image), rows)
        row = pipeline.job(connection, "jobj")
    assert row is not None
    return row


def test_answers_are_judged_by_field_and_the_rest_is_told(database: Database) -> None:
    aldi = {"shop": {"name": "ALDI"}, "zip": "010", "total": 12.5, "day": "2024-04-03"}
    job = _answered(
        database,
        [
            {"answer": aldi},
            {"answer": aldi | {"total": 11, "shop": {"name": "Lidl"}}},
            {"status": "failed", "error_code": "blocked"},
            {"status": "prepared"},
            {"status": "duplicate", "duplicate_of": 1},
        ],
        **SHAPED,
    )
    known = {"shop.name": "Aldi", "total": "12,50"}
    truth = Truth(
        {
            "1.jpg": known | {"zip": "10", "day": "3 April 2024", "remark": "x"},
            **{f"in/{n}.jpg": known for n in (2, 3, 4, 5)},
            "elsewhere.jpg": known,
        },
        ("shop.name", "total", "zip", "day", "remark"),
    )
    value = json_of(check_job(database, job, truth, []))
    counts = {n: (f["right"], f["of"], f["unanswered"]) for n, f in value["fields"].items()}
    assert counts == {
        "shop.name": (2, 4, 1),
        "total": (2, 4, 1),
        "zip": (0, 1, 0),
        "day": (1, 1, 0),
    }
    assert {name: field["rule"] for name, field in value["fields"].items()} == {
        "shop.name": "folded",
        "total": "number",
        "zip": "folded",
        "day": "date",
    }
    assert value["fields"]["total"]["error"]["mean"] == pytest.approx(0.5)
    assert (value["labelled"], value["matched"], value["waiting"]) == (6, 5, 1)
    assert (value["unmatched"], value["left_out"]) == (["elsewhere.jpg"], ["remark"])
    assert value["confusions"][0]["names"] == ("1.jpg",)
    wrong = [(row["position"], row["field"], row["answer"]) for row in value["wrong"]]
    assert wrong == [
        (1, "zip", "010"),
        (2, "shop.name", "Lidl"),
        (2, "total", 11),
        (3, "shop.name", None),
        (3, "total", None),
    ]


@pytest.mark.parametrize(
    ("options", "row", "says"),
    [
        ({}, {"total": "1"}, "one answer about the whole set.*--each"),
        ({"each": "?"}, {"color": "red"}, "none of the fields.*answer.*Its columns: color"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    database: Database, options: dict[str, Any], row: dict[str, Any], says: str
) -> None:
    job = _answered(database, [{"answer": "red"}], **options)
    with pytest.raises(WrongUsage, match=says):
        check_job(database, job, Truth({"1.jpg": row}, tuple(row)), [])


def test_a_truth_about_other_images_is_refused(database: Database) -> None:
    job = _answered(database, [{"answer": "red"}], each="?")
    with pytest.raises(WrongUsage, match=r"no labelled image is in job jobj.*'9.jpg'.*'/in/1.jpg'"):
        check_job(database, job, Truth({"9.jpg": {"answer": "red"}}, ("answer",)), [])


def test_the_command_prints_a_table_and_one_json_object(own: Database, tmp_path: Path) -> None:
    _answered(own, [{"answer": "Red"}, {"answer": "\x1b[31mteal"}], each="?")
    file = tmp_path / "t.csv"
    file.write_text("file,answer\n1.jpg,red\n2.jpg,blue\n")
    said = shell.say("check", "last", "--truth", str(file))
    assert (said.returncode, said.stderr) == (0, "")
    assert "50%" in said.stdout
    assert "\x1b" not in said.stdout
    assert "2 of 2 labelled images found in job jobj" in said.stdout
    value = json.loads(shell.say("check", "last", "--truth", str(file), "--json").stdout)
    assert value["fields"]["answer"]["right"] == 1
