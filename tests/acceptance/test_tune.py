"""``overstory tune`` as a person uses it: asked twice, paid once, and then ``run --profile``."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command import Endpoint, Person, parsed

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]

TILES = Path(__file__).parents[2] / "examples" / "tiles"
SETTING = {"pack", "detail", "model", "images", "unanswered", "fields", "prompt_tokens"}
SETTING |= {"completion_tokens", "cost", "seconds"}


def test_a_setting_is_found_kept_and_used(person: Person, endpoint: Endpoint) -> None:
    tiles = person.folder / "tiles"
    subprocess.run([sys.executable, TILES / "make_tiles.py", tiles], check=True)
    shutil.copy(TILES / "tile.json", person.folder)
    asked = [tiles, "--each", "Which colour and format?", "--schema", "tile.json"]
    truth = ["--truth", tiles / "truth.csv"]
    settings = ["--packs", "2,60", "--details", "low", "--models", "sandbox-tires"]
    words = ["tune", *asked, *truth, *settings, "--json"]

    tuned = parsed(person.say(*words))
    paid = endpoint.stats()["paid"]
    few, many = tuned["settings"]
    assert few.keys() >= SETTING
    assert [(one["pack"], one["images"]) for one in (few, many)] == [(2, 60), (60, 60)]
    for one in (few, many):
        for field in one["fields"].values():
            assert 0 <= field["low"] <= field["right"] / field["of"] <= field["high"] <= 1
    assert endpoint.image_counts() == [60, *[2] * 30]
    assert many["worse"]  # the last of 60 tiles is taken for another one in one case of two
    assert tuned["chosen"].keys() == {"pack", "detail", "model", "reason"}
    assert (tuned["chosen"]["pack"], tuned["chosen"]["detail"]) == (2, "low")

    assert parsed(person.say(*words)) == tuned
    assert endpoint.stats()["paid"] == paid
    table = person.say(*words[:-1])
    assert "--profile tiles" in table.out

    by_profile = parsed(person.say("estimate", *asked, "--profile", "tiles", "--json"))
    by_options = parsed(
        person.say(
            *("estimate", *asked, "--pack", 2, "--detail", "low", "--model", "sandbox-tires"),
            "--json",
        )
    )
    assert by_profile == by_options
    assert person.say("run", *asked, "--profile", "tiles").status == 0
    most, *rest = endpoint.image_counts()
    assert (most, max(rest)) == (60, 2)
    checked = parsed(person.say("check", "last", *truth, "--json"))
    assert checked["matched"] == 84
