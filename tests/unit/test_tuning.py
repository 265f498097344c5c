"""What tune asks, and what it says about it."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from random import Random

import pytest
from rich.console import Console

from core.errors import WrongUsage
from core.jobs import JobSpec
from core.settings import load
from core.truth.choice import Choice
from core.truth.rules import rules_of
from core.truth.sample import stratified
from core.truth.score import Case, score
from core.truth.truth import Truth
from overstory.commands.tune_table import print_tuned
from overstory.profile_of_tuning import default_name
from overstory.tuning import Measured, Setting, chosen, json_of, reason_for, settings_of, spec_for

IMAGES = 60
NAMES = [f"{number:02}.jpg" for number in range(IMAGES)]
BASE = JobSpec(images=["photos"], each="Which colour?")


def measured(setting: Setting, right: int, cost: float, *fields: str, first: int = 0) -> Measured:
    """A setting under which the images from ``first`` on are right, ``right`` of them."""
    fields = fields or ("colour",)
    rows = {name: dict.fromkeys(fields, "red") for name in NAMES}
    rules = rules_of((), Truth(rows, fields))
    hits = [first <= number < first + right for number in range(IMAGES)]
    cases = [
        Case(number, name, rows[name], dict.fromkeys(fields, "red" if hit else "blue"))
        for number, (name, hit) in enumerate(zip(NAMES, hits, strict=True), 1)
    ]
    return Measured(
        setting=setting,
        job="f86988eec68d",
        score=score(cases, rules, Random(0)),
        shares=tuple(map(float, hits)),
        unanswered=0,
        prompt_tokens=60_000 // setting.pack,
        completion_tokens=714,
        cost=cost,
        seconds=540.0 / setting.pack,
        paid=cost / 20,
    )


def five(*fields: str) -> list[Measured]:
    """Two good packs, two that are worse, and one that is dearer by its detail."""
    rights = ((1, "low", 60, 0.1), (5, "low", 58, 0.06), (15, "low", 45, 0.05))
    rows = [*rights, (60, "low", 37, 0.04), (1, "high", 60, 0.2)]
    return [
        measured(Setting(pack, detail, "step-3.7-flash"), right, cost, *fields)  # type: ignore[arg-type]
        for pack, detail, right, cost in rows
    ]


def printed(rows: list[Measured], choice: Choice, width: int) -> list[str]:
    console = Console(width=width, record=True, file=StringIO())
    print_tuned(console, load(), rows, {}, choice, "tiles")
    return console.export_text().splitlines()


def test_packs_larger_than_the_sample_are_one_setting() -> None:
    packs = [one.pack for one in settings_of([1, 5, 30, 60], ["low"], ["m"], 12)]
    assert packs == [1, 5, 12]


def test_each_setting_has_an_order_of_its_own_and_keeps_it() -> None:
    few, many = (
        spec_for(BASE, setting, NAMES, 0) for setting in settings_of([5, 60], ["low"], ["m"], 60)
    )
    assert few.images != many.images
    assert sorted(few.images) == sorted(many.images) == NAMES
    assert spec_for(BASE, Setting(5, "low", "m"), NAMES, 0) == few
    assert spec_for(BASE, Setting(5, "low", "m"), NAMES, 1).images != few.images
    assert few.fresh  # replies of other jobs may be about other neighbours


def test_the_cheapest_that_is_not_worse_is_chosen_and_its_loss_named() -> None:
    rows = five()
    choice = chosen(rows, 0)
    assert choice.chosen == 1
    assert [one.worse for one in choice.against] == [False, False, True, True, False]
    reason = reason_for(choice, rows)
    assert reason.startswith("it is the cheapest that is not shown to be worse than the best")
    assert "points worse and" in reason
    assert "240 labelled images would halve that range" in reason


def test_without_a_price_the_fewest_tokens_are_cheapest() -> None:
    rows = [measured(Setting(pack, "low", "m"), 60, 0.0) for pack in (60, 1, 5)]
    assert chosen(rows, 0).chosen == 0


@pytest.mark.parametrize(
    ("rights", "said"),
    [
        ((60,), "it is the only setting that was asked, with 60 images"),
        ((60, 30), "it has the best answers, and every cheaper setting is worse beyond chance"),
        ((30, 60), "it is the cheapest, and no other has better answers"),
    ],
)
def test_the_reason_where_nothing_cheaper_is_chosen(rights: tuple[int, ...], said: str) -> None:
    rows = [
        measured(Setting(1 + place, "low", "m"), right, 1 / (1 + place))
        for place, right in enumerate(rights)
    ]
    assert reason_for(chosen(rows, 0), rows).startswith(said)


def test_nothing_asked_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(WrongUsage, match="--budget"):
        chosen([], 0)


def test_the_json_names_what_was_not_asked() -> None:
    rows = five()
    left_out = {Setting(60, "high", "step-3.7-flash"): "no room"}
    value = json_of(rows, left_out, chosen(rows, 0))
    assert value["settings"][1]["fields"]["colour"]["right"] == 58
    assert value["not_asked"] == [
        {"pack": 60, "detail": "high", "model": "step-3.7-flash", "reason": "no room"}
    ]
    assert (value["chosen"]["pack"], value["chosen"]["detail"]) == (5, "low")


@pytest.mark.parametrize("fields", [("colour",), ("colour", "a rather long name"), tuple("abcde")])
def test_the_table_fits_80_columns(fields: tuple[str, ...]) -> None:
    rows = five(*fields)
    lines = printed(rows, chosen(rows, 0), 80)
    table = lines[: len(rows) + 1]
    assert all(len(line.rstrip()) <= 80 for line in table)
    assert "chosen" in table[2]
    assert any("--profile tiles" in line for line in lines)


def test_each_label_comes_into_the_sample() -> None:
    rows = {f"{n}": {"colour": "red" if n < 95 else f"rare {n}"} for n in range(100)}
    truth = Truth(rows, ("colour",))
    sample = stratified(truth, list(rows), 20, Random(0))
    assert len(sample) == len(set(sample)) == 20
    assert {rows[name]["colour"] for name in sample} == {row["colour"] for row in rows.values()}
    assert stratified(truth, list(rows), 20, Random(0)) == sample
    assert stratified(truth, list(rows), 20, Random(1)) != sample


def test_a_profile_is_named_after_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "our tiles (2026)"
    folder.mkdir()
    assert default_name(str(folder)) == "our-tiles-2026"
    assert default_name(str(folder / "*.jpg")) == "our-tiles-2026"
    assert default_name("/") == "tuned"
