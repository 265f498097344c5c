"""The report on a job by units: its data, and what a person finds in the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.errors import WrongUsage
from core.settings import load
from models.engine import Database
from overstory.report.data import live_data
from overstory.report.page import page
from overstory.report.review import review_data
from tests.support.account import on_one_database
from tests.support.browser import Browser, Page, find_chromium
from tests.support.units import LISTINGS, Given, ended, job_of

SCHEMA = {
    "type": "object",
    "properties": {"rooms": {"type": "integer"}, "state": {"type": "string"}},
}
OBJECTS = [
    Given("Oak", {"rooms": 4, "state": "a crack [1]"}, ("included",) * 6),
    Given("Elm", {"rooms": 12, "state": "new [7-8]"}, ("included",) * 2),
    Given("Ash", None, ("failed",)),
]


def data(database: Database, job: str) -> dict[str, Any]:
    return live_data(database, job_of(database, job), 1.0) | {"pictures": []}


def test_a_unit_has_its_answer_images_and_coverage(database: Database) -> None:
    value = data(database, ended(database))
    assert value["answer"] == [["units"]]
    assert (value["units"]["by"], value["units"]["columns"]) == ("folder", None)
    first, second, copy, garage = value["units"]["list"]
    assert first["answer"] == [["p", ["A red barn with two doors ", ["c", [[1, 1]]], "."]]]
    assert first["images"] == [[1, 3]]
    assert second["coverage"] == {"submitted": 2, "included": 1, "failed": 1}
    assert copy["same"] == 1
    assert "answer" not in garage
    assert garage["why"] == "[9] the provider refused it"
    assert value["cited"] == [[1, 1], [5, 5]]


def test_objects_are_rows_below_the_answer_over_the_units(database: Database) -> None:
    job = ended(database, OBJECTS, SCHEMA, ask="Which is best?", answer="Oak is [2].")
    value = data(database, job)
    assert [block[0] for block in value["answer"]] == ["p", "h", "units", "h", "table"]
    assert value["units"]["columns"] == ["rooms", "state"]
    assert value["units"]["list"][1]["answer"] == [12, "new [7-8]"]
    assert value["cited"] == [[2, 2]]
    assert (value["job"]["by"], value["job"]["each"]) == ("folder", "What is it?")


@on_one_database
def test_a_review_of_units_is_refused(database: Database) -> None:
    row = job_of(database, ended(database))
    with pytest.raises(WrongUsage, match="has answers about units"):
        review_data(load(), database, row, 5, 1)


def cards(shown: Page) -> list[str]:
    found = shown.js("[...document.querySelectorAll('.units > li h3')].map((e) => e.textContent)")
    return list(found)


def pressed(shown: Page, name: str) -> None:
    shown.click(f'.chip[data-name="{name}"]')


@on_one_database
@pytest.mark.skipif(find_chromium() is None, reason="no Chromium")
def test_a_person_finds_units_and_their_images(database: Database, tmp_path: Path) -> None:
    given = [*LISTINGS, *(Given(f"House {n}", f"A house [{n}].") for n in range(60))]
    texts, objects = tmp_path / "texts.html", tmp_path / "objects.html"
    texts.write_text(page(data(database, ended(database, given))))
    objects.write_text(page(data(database, ended(database, OBJECTS, SCHEMA))))
    at = "document.activeElement.dataset.unit"
    with Browser(find_chromium() or "") as browser:
        with browser.page(texts.as_uri()) as shown:
            assert len(cards(shown)) == 40
            shown.js("document.querySelector('#answer-text input').focus()")
            shown.type("house 59")
            assert cards(shown) == ["House 59"]
            shown.click('li[data-unit="64"] .shown button')
            assert "House 59" in shown.js("document.querySelector('#viewer dl').textContent")
            shown.press("Escape")
            pressed(shown, "without an answer")
            assert cards(shown) == []  # the words still hold
            shown.js("document.querySelector('#answer-text input').value = ''")
            shown.js(
                "document.querySelector('#answer-text input').dispatchEvent(new Event('input'))"
            )
            assert cards(shown) == ["Garage"]
            pressed(shown, "same as an earlier one")
            shown.click(".unit-card .link")
            assert shown.js(at) == "1"
            assert len(cards(shown)) == 40
            assert shown.complaints() == []
        with browser.page(objects.as_uri(), 390, 800) as shown:
            rows = "[...document.querySelectorAll('.answers tbody tr')].map((e) => e.dataset.unit)"
            assert shown.js(rows) == ["1", "2", "3"]
            shown.click(".answers th:nth-child(2) button")
            shown.click(".answers th:nth-child(2) button")
            assert shown.js(rows) == ["2", "1", "3"]  # without an answer: last
            shown.click('tr[data-unit="2"] td:nth-child(3) button')
            assert (
                shown.js("document.querySelector('#viewer-title').innerText")
                == "Image 7\nElm/7.jpg"
            )
            shown.click("#viewer dl .link")
            assert shown.js(at) == "2"
            assert shown.js("document.documentElement.scrollWidth") == 390
            assert shown.complaints() == []
