"""``--by`` on the command line, from the question to the report."""

from __future__ import annotations

import csv
import json

import pytest

from core.text.citations import cited_numbers
from tests.support.command import Endpoint, Person, parsed
from tests.support.pictures import draw_image

pytestmark = pytest.mark.acceptance


def test_each_folder_is_answered_shown_and_exported(person: Person, endpoint: Endpoint) -> None:
    photos, numbers = person.folder / "photos", iter(range(30))
    for folder, size in (("Oak 1", 2), ("Elm 2", 9), ("Ash 3", 1)):
        for _ in range(size):
            number = next(numbers)
            draw_image(photos / folder / f"{number:02}.png", number)
    (photos / "Ash 3" / "broken.jpg").write_bytes(b"\xff\xd8\xff no picture")
    person.settings["OVERSTORY_IMAGES_PER_REQUEST"] = "4"
    asked = ("run", photos, "--by", "folder", "--each", "What is it?", "--ask", "Which is best?")
    ran = person.say(*asked, "--json")
    assert (ran.status, ran.result["by"]) == (3, "folder")
    units = {unit["unit"]: unit for unit in ran.result["units"]}
    assert {name: len(unit["images"]) for name, unit in units.items()} == {
        "Ash 3": 2, "Elm 2": 9, "Oak 1": 2,
    }  # fmt: skip
    assert units["Ash 3"]["coverage"]["failed"] == 1
    assert all(unit["answer"] for unit in units.values())
    cited = set(cited_numbers(units["Oak 1"]["answer"]))
    assert cited
    assert cited <= set(units["Oak 1"]["images"])
    assert max(endpoint.image_counts()) <= 4  # Elm 2 is divided

    job = ran.result["job"]
    shown = person.say("show", job)
    assert "3 of 3 answered, by folder" in shown.out
    assert parsed(person.say("images", job, "--json"))[0]["unit"] == "Ash 3"
    person.say("export", job, "-o", person.folder / "units.csv")
    with (person.folder / "units.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["unit"] for row in rows] == ["Ash 3", "Elm 2", "Oak 1"]
    assert [json.loads(row["images"]) for row in rows] == [u["images"] for u in units.values()]
    person.say("report", job, "-o", person.folder / "report.html")
    assert '"name":"Elm 2"' in (person.folder / "report.html").read_text()
