"""A job by units over HTTP, for agents, and in overstory-client."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

import pytest
from pydantic import BaseModel
from starlette.testclient import TestClient

from models.engine import Database
from overstory.api.mcp.answers import Wanted, answer_of
from overstory.api.outcomes import Outcome
from overstory.output.result import result
from overstory_client.values import Result
from tests.support.account import on_one_database
from tests.support.api import api
from tests.support.units import LISTINGS, Given, ended, job_of

SCHEMA = {"type": "object", "properties": {"rooms": {"type": "integer"}}}
OBJECTS = [Given("Oak", {"rooms": 4}), Given("Elm", None, ("failed",))]


class Listing(BaseModel):
    rooms: int


@pytest.fixture
def web(own: Database) -> Iterator[TestClient]:
    with api() as client:
        yield client


def test_the_api_shows_and_exports_units(web: TestClient, own: Database) -> None:
    job = ended(own)
    shown = web.get(f"/api/jobs/{job}").json()
    assert [unit["unit"] for unit in shown["units"]] == [given.name for given in LISTINGS]
    images = web.get(f"/api/jobs/{job}/images").json()
    assert images[4]["unit"] == "Flat 3"
    table = csv.DictReader(io.StringIO(web.get(f"/api/jobs/{job}/export?format=csv").text))
    assert [row["submitted"] for row in table] == ["3", "2", "3", "1"]
    rows = web.get(f"/api/jobs/{job}/export?rows=images").text.splitlines()
    assert len(rows) == 9
    live = web.get(f"/api/jobs/{job}/report.json").json()
    assert len(live["units"]["list"]) == 4


def test_the_description_of_the_api_has_the_form_of_units(web: TestClient) -> None:
    described = web.get("/openapi.json").json()
    shown = described["paths"]["/api/jobs/{job}"]["get"]["responses"]["200"]
    assert shown["content"]["application/json"]["schema"]["$ref"].endswith("/Outcome")
    unit = described["components"]["schemas"]["UnitOutcome"]["properties"]
    assert {"unit", "answer", "data", "coverage", "images", "cost"} <= set(unit)
    body = described["paths"]["/api/jobs"]["post"]["requestBody"]["content"]
    form = body["multipart/form-data"]["schema"]["properties"]
    assert form["with"]["description"] == "names between commas"
    assert "UnitOutcome" in web.get("/docs").text


@pytest.mark.parametrize("schema", [None, SCHEMA])
@on_one_database
def test_results_have_the_described_form(database: Database, schema: dict[str, object]) -> None:
    job = ended(database, OBJECTS if schema else LISTINGS, schema)
    value = result(database, job_of(database, job))
    read = Outcome.model_validate(value).model_dump(mode="json")
    assert {name: read[name] for name in value} == value | {"units": read["units"]}
    for told, unit in zip(read["units"], value["units"], strict=True):
        assert {name: told[name] for name in unit} == unit


def test_a_form_names_facts_between_commas_or_one_by_one(web: TestClient) -> None:
    png = {"images": ("a.png", b"not a picture", "image/png")}
    fields = {"ask": "?", "with": ["name,taken", "price in EUR"], "colour": "red"}
    refused = web.post("/api/jobs", data=fields, files=png).json()
    assert refused["field"] == "colour"  # the list was read
    assert "with" not in refused["detail"]


@on_one_database
def test_an_agent_reads_units_and_reads_on(database: Database) -> None:
    given = [*LISTINGS, *(Given(f"House {n}", "large " * 200) for n in range(1, 30))]
    row = job_of(database, ended(database, given))
    told = answer_of(database, row, Wanted())
    assert "UNITS, by folder:" in told.text
    assert "Flat 3 [4-5] (1 of 2 images failed): An empty flat [5]." in told.text
    assert "Garage [9] (1 of 1 images failed): no answer" in told.text
    assert "more units: answer with start=" in told.text
    assert told.shown == ()
    start = int(told.text.partition("start=")[2].split()[0])
    assert f"House {start - 4} " not in told.text
    assert f"House {start - 4} " in answer_of(database, row, Wanted(start=start)).text
    asked = answer_of(database, row, Wanted(images=(5,)))
    assert "[5] Flat 3/5.jpg: a barn [5]" in asked.text


@on_one_database
def test_overstory_client_has_typed_units(database: Database) -> None:
    job = job_of(database, ended(database, OBJECTS, SCHEMA))
    outcome: Result[Listing] = Result(result(database, job), Listing)
    oak, elm = outcome.units
    assert (oak.name, oak.answer, oak.images) == ("Oak", Listing(rooms=4), [1])
    assert (elm.answer, elm.coverage["failed"], elm.duplicate_of) == (None, 1, None)
    texts: Result[str] = Result(result(database, job_of(database, ended(database))))
    assert texts.units[1].answer == "An empty flat [5]."
    assert Result({"images": []}).units == []
