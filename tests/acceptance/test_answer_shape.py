"""``--each``, ``--schema`` and ``export`` on the command line."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import Browser, find_chromium
from tests.support.command import Endpoint, Person

pytestmark = pytest.mark.acceptance

MakeImages = Callable[..., Path]
EACH = "Which colour is it?"
SHAPE = {
    "type": "object",
    "required": ["photo_count", "summary"],
    "properties": {
        "photo_count": {"type": "integer"},
        "finds": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "colour": {"type": "string"},
                    "image": {"type": "integer", "x-image": True},
                },
            },
        },
        "summary": {"type": "string"},
    },
}
MODEL = """
from typing import Literal

from pydantic import BaseModel

class Look(BaseModel):
    colour: str
    is_bright: bool
    width: int
    light: Literal["dark", "dim", "bright"]
"""


def test_each_image_is_answered_and_exported(
    person: Person, endpoint: Endpoint, make_images: MakeImages
) -> None:
    person.settings["OVERSTORY_IMAGES_PER_REQUEST"] = "4"
    (person.folder / "looks.py").write_text(MODEL)
    words = ("run", make_images(9), "--each", EACH, "--schema", "looks:Look")
    found = person.say(*words, "--json").result
    assert found["status"] == "completed"
    assert endpoint.image_counts() == [3, 3, 3]
    looks = [image["answer"] for image in found["images"]]
    assert [look["width"] for look in looks] == list(range(40, 49))
    assert found["totals"]["width"] == {"count": 9, "sum": 396, "min": 40, "max": 48}
    assert sum(found["totals"]["light"]["counts"].values()) == 9

    again = person.say(*words)
    assert again.status == 0
    assert again.out.splitlines()[0].startswith("[1] colour: ")
    assert len(endpoint.image_counts()) == 3  # the same command is the same job

    assert person.say("export", found["job"], "-o", "looks.csv").status == 0
    with (person.folder / "looks.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["answer.width"]) for row in rows] == list(range(40, 49))
    lines = person.say("export", found["job"]).out.splitlines()
    assert [json.loads(line)["answer"] for line in lines] == looks
    assert person.say("export", found["job"], "-o", "looks.parquet").status == 0
    assert person.say("export", found["job"], "--format", "parquet").status == 2
    assert person.say("export", found["job"], "-o", "looks.doc").status == 2


def test_one_object_for_the_set_is_on_stdout_and_in_the_report(
    person: Person, endpoint: Endpoint, make_images: MakeImages
) -> None:
    person.settings["OVERSTORY_IMAGES_PER_REQUEST"] = "4"
    endpoint.process.configure(false_totals=True, false_citations=True, code_fences=True)
    (person.folder / "shape.json").write_text(json.dumps(SHAPE))
    ran = person.say("run", make_images(9), "--ask", "How many, and what is there?",
        "--schema", "shape.json", "--report", "out.html",
    )  # fmt: skip
    assert ran.status == 0, ran.err
    data = json.loads(ran.out)
    assert data["photo_count"] == 9
    assert [find["image"] for find in data["finds"]] == list(range(1, 10))
    program = find_chromium()
    if program is None:
        pytest.skip("no Chromium here: apt-get install chromium, or set CHROMIUM to one")
    with (
        Browser(program) as browser,
        browser.page((person.folder / "out.html").as_uri()) as page,
    ):
        cells: list[Any] = page.js(
            "[...document.querySelectorAll('#answer-text td')].map((cell) => cell.textContent)"
        )
        assert cells[:2] == ["photo_count", "9"]
        assert page.complaints() == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "no question"),
        (("--each", "?", "--schema", "none.json"), "cannot be read"),
        (("--ask", "?", "--schema", "bad.json"), "x-merge 'sum'"),
    ],
)
def test_an_invalid_schema_or_option_is_refused_before_anything_is_sent(
    person: Person, make_images: MakeImages, words: tuple[str, ...], said: str
) -> None:
    bad = {"type": "object", "properties": {"n": {"type": "integer", "x-merge": "sum"}}}
    (person.folder / "bad.json").write_text(json.dumps(bad))
    ran = person.say("run", make_images(1), *words)
    assert ran.status == 2
    assert said in ran.err
