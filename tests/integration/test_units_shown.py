"""What people and programs are shown of a job's units: --json, lists, the summary."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console
from sqlalchemy import update

from models.engine import Database
from models.reads import parts
from models.reads.units import units
from models.tables import Job
from overstory.commands.inspect import images as listing
from overstory.output.result import result
from overstory.output.summary import print_answer, print_summary
from overstory.output.unit_table import spans, unanswered
from tests.support.account import on_one_database
from tests.support.shell import say
from tests.support.units import COVERAGE, LISTINGS, Given, ended, job_of

SCHEMA = {
    "type": "object",
    "properties": {"rooms": {"type": "integer"}, "kind": {"enum": ["house", "flat"]}},
}
OBJECTS = [
    Given("Oak", {"kind": "house", "rooms": 4}, ("included", "included")),
    Given("Elm", {"kind": "flat", "rooms": 2}),
    Given("Ash", None, ("failed",)),
]


Shown = Callable[[Database, str], str]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Callable[[Database, str], str]:
    """What a terminal of 90 columns shows of a job's answer, without spaces at the line ends."""

    def on_terminal(database: Database, job: str) -> str:
        screen = Terminal()
        monkeypatch.setattr("sys.stdout", screen)
        monkeypatch.setenv("COLUMNS", "90")
        monkeypatch.setenv("TERM", "dumb")
        print_answer(database, job_of(database, job))
        return "\n".join(line.rstrip() for line in screen.getvalue().splitlines())

    return on_terminal


def test_json_has_each_unit_with_its_answer_coverage_images_and_cost(database: Database) -> None:
    value = result(database, job_of(database, ended(database)))
    assert value["by"] == "folder"
    assert value["units"][1] == {
        "unit": "Flat 3",
        "answer": "An empty flat [5].",
        "coverage": {"submitted": 2, "included": 1, "failed": 1, "duplicate": 0, "skipped": 0},
        "duplicate_of": None,
        "images": [4, 5],
        "cost": 0.0,
    }
    assert [unit["duplicate_of"] for unit in value["units"]] == [None, None, 1, None]
    assert value["units"][3]["answer"] is None
    assert value["images"][4]["unit"] == "Flat 3"
    assert "answer" not in value["images"][4]
    added = {name: sum(unit["coverage"][name] for unit in value["units"]) for name in COVERAGE}
    assert added == COVERAGE == value["coverage"]


def test_objects_are_data_in_the_order_of_their_schema_with_totals(database: Database) -> None:
    twin = Given("Yew", {"kind": "flat", "rooms": 2}, ("duplicate",), duplicate_of=2)
    value = result(database, job_of(database, ended(database, [*OBJECTS, twin], SCHEMA)))
    assert list(value["units"][0]["data"]) == ["rooms", "kind"]
    assert value["units"][2]["data"] is None
    assert value["totals"]["rooms"] == {"count": 2, "sum": 6, "min": 2, "max": 4}
    assert value["totals"]["kind"] == {"counts": {"house": 1, "flat": 1}}


@on_one_database
def test_a_terminal_lists_texts_with_their_images(database: Database, shown: Shown) -> None:
    text = shown(database, ended(database))
    assert "12 Oak Street  [1-3]\n  A red barn with two doors [1]." in text
    assert "Flat 3  [4-5], 1 failed\n" in text
    assert "copy of 12 Oak Street (the same as 12 Oak Street)  [6-8]\n" in text
    assert "Garage  [9], 1 failed\n  [9] the provider refused it" in text
    assert text.endswith("[1] 12 Oak Street/1.jpg\n[5] Flat 3/5.jpg")


@on_one_database
def test_a_terminal_shows_objects_as_a_table(database: Database, shown: Shown) -> None:
    text = shown(database, ended(database, OBJECTS, SCHEMA))
    rows = [line.replace("│", " ").split() for line in text.splitlines()]
    assert ["Oak", "[1-2]", "4", "house"] in rows
    assert ["Elm", "[3]", "2", "flat"] in rows


@on_one_database
def test_a_long_list_is_bounded_and_says_where_the_rest_is(
    database: Database, shown: Shown
) -> None:
    job = ended(database, [Given(f"unit {n}", f"text {n}") for n in range(1, 251)])
    text = shown(database, job)
    assert "text 200\n" in text
    assert "unit 201" not in text
    assert f"and 50 more: overstory export {job} --format csv" in " ".join(text.split())


@on_one_database
def test_a_pipe_gets_a_line_for_each_answer(
    database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile = [Given("a\x1b[2J\nb", "one\ntwo"), Given("c")]
    print_answer(database, job_of(database, ended(database, hostile)))
    assert capsys.readouterr().out == "a\\x1b[2J b: one two\n"


@on_one_database
def test_an_answer_over_the_units_is_all_that_a_pipe_gets(
    database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    job = ended(database, ask="Which is the best?", answer="The barn [1].")
    print_answer(database, job_of(database, job))
    assert capsys.readouterr().out == "The barn [1].\n"


@on_one_database
def test_the_summary_names_units_without_an_answer(database: Database) -> None:
    given = [*LISTINGS, *(Given(f"dark {n}", None, ("skipped",)) for n in range(12))]
    console = Console(file=io.StringIO(), width=200)
    print_summary(console, database, job_of(database, ended(database, given)))
    told: Any = console.file
    text = told.getvalue()
    assert "3 of 16 units answered, 1 the same as an earlier one\n" in text
    assert "  Garage: [9] the provider refused it\n" in text
    assert "  dark 8: its images were skipped\n  and 3 more units\n" in text


@on_one_database
def test_units_of_a_job_that_goes_on_are_not_missing(database: Database, shown: Shown) -> None:
    job = ended(database)
    with database.write() as connection:
        connection.execute(update(Job).values(status="running", finished_at=None))
    assert "Garage  [9], 1 failed\n  [9] the provider refused it" in shown(database, job)
    row = job_of(database, job)
    with database.read() as connection:
        told = list(unanswered(row, units(connection, job), {}))
    assert told == ["3 of 4 units answered, 1 the same as an earlier one"]


def test_positions_are_told_as_runs() -> None:
    assert spans([1, 2, 3, 7, 9, 10]) == [(1, 3), (7, 7), (9, 10)]
    assert spans([]) == []


def test_a_long_list_of_images_goes_on_as_another_table(
    database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    job = ended(database)

    def printed() -> tuple[int, list[list[str]]]:
        count = listing.print_tables(parts.lines_in_pages(database, job), False, {})
        return count, [line.split() for line in capsys.readouterr().out.splitlines()]

    count, (head, *rows) = printed()
    assert (count, len(rows)) == (1, 9)
    monkeypatch.setattr(listing, "TABLE_ROWS", 4)
    assert printed() == (3, [head, *rows[:4], head, *rows[4:8], head, *rows[8:]])
    assert listing.print_tables(iter(()), False, {}) == 0


def test_the_commands_show_units(own: Database) -> None:
    job = ended(own)
    told = say("show", job).stdout
    assert "3 of 4 answered, by folder" in told
    assert "Flat 3: An empty flat [5].\n" in told
    listed = say("images", job)
    assert "unit" in listed.stdout.split("\n")[0]
    values = json.loads(say("images", job, "--json").stdout)
    assert [value["unit"] for value in values][3:6] == ["Flat 3", "Flat 3", "copy of 12 Oak Street"]
    assert "units" in json.loads(say("show", job, "--json").stdout)
