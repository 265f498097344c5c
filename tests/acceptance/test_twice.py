"""Looking twice, by the real command: said before, counted, shown, and paid for once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from tests.support.command import Endpoint, Person

pytestmark = pytest.mark.acceptance

SCHEMA = {
    "type": "object",
    "properties": {"colour": {"type": "string"}, "width": {"type": "integer"}},
    "required": ["colour", "width"],
}


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Eight large pictures: the even ones are too dim to be told at low detail."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(1, 9):
        colour = (60 + number, 0, 0) if number % 2 == 0 else (255, 200 + number, 200)
        Image.new("RGB", (1400, 1000), colour).save(folder / f"{number}.png")
    return folder


def test_unclear_images_are_looked_at_again_and_paid_for_once(
    person: Person, endpoint: Endpoint, pictures: Path
) -> None:
    (person.folder / "schema.json").write_text(json.dumps(SCHEMA))
    question = (pictures, "--each", "Which colour?", "--schema", "schema.json", "--detail", "auto")
    question = (*question, "--second-look", "0.4")
    guess = json.loads(person.say("estimate", *question, "--json").out)
    assert (guess["second_look"]["images"], guess["second_look"]["requests"]) == (3, 1)
    assert guess["requests"] == 2

    ran = person.say("run", *question, "--json")
    assert ran.status == 0, ran.err
    result = ran.result
    assert [image["look"] for image in result["images"]] == [1, 2, 1, 2, 1, 2, 1, 1]
    assert [image["unclear"] for image in result["images"]] == [None] * 7 + [["colour"]]
    assert result["looks"] == {"twice": 3, "unclear": 0, "left": 1}
    colours = [image["answer"]["colour"] for image in result["images"]]
    assert (colours[1], colours[7]) == ("red", "grey")
    assert endpoint.image_counts() == [8, 3]

    again = person.say("run", *question, "--report", "out.html")
    said = "3 of 8 images were looked at twice; 1 more was unclear: --second-look 0.50 would"
    assert said in " ".join(again.err.split())
    assert again.out.splitlines()[1].startswith("[2] colour: red")
    assert endpoint.image_counts() == [8, 3]
    assert "looked at twice" in (person.folder / "out.html").read_text("utf-8")
