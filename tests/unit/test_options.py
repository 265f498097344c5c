"""A command's options, and how a wrong one is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest

from core.access import NAME, BudgetPeriod, TokenBudget, parse_budget
from core.errors import WrongUsage
from overstory.commands.estimate import estimate
from overstory.commands.run import run
from overstory.commands.specs import asked_of, spec_of
from overstory.commands.watch_folder import watch_folder, watch_of

GIVEN = {"ask": "What?", "each": None, "fetch": False, "weight": None, "min_coverage": None}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"weight": 0.0}, "--weight must be greater than 0"),
        ({"weight": -1.0}, "--weight must be greater than 0"),
        ({"weight": 1001.0}, "--weight must be less than or equal to 1000"),
        ({"ask": ""}, "--ask must have at least 1 character"),
        ({"ask": None, "each": " \n"}, "--each must have at least 1 character"),
        ({"label": "l" * 256}, "--label must have at most 255 characters"),
        ({"ask": "", "weight": 0.0}, "--ask must have at least 1 character; --weight must be"),
        ({"ask": None}, "no question: give --ask"),
    ],
)
def test_a_wrong_option_is_refused_by_the_name_that_was_typed(
    wrong: dict[str, Any], said: str
) -> None:
    with pytest.raises(click.UsageError) as refused:
        spec_of(["a.jpg"], GIVEN | wrong)
    assert said in refused.value.message
    assert "overstory.submit" not in refused.value.message


@pytest.mark.parametrize("command", [run, estimate])
def test_a_job_is_bare_or_has_canaries(command: click.Command) -> None:
    names = {name for option in command.params for name in option.opts}
    assert {"--bare", "--canary"} <= names
    assert spec_of(["a.jpg"], GIVEN | {"bare": True, "canary": False}).options.bare
    assert spec_of(["a.jpg"], GIVEN | {"bare": False, "canary": True}).options.canary
    with pytest.raises(WrongUsage, match="leave out each, schema, by and canary"):
        spec_of(["a.jpg"], GIVEN | {"bare": True, "canary": True})


def test_a_wrong_custom_prompt_is_refused_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "leaf.txt").write_text("Look.")
    with pytest.raises(click.UsageError, match=r"^--prompts: leaf.txt lacks the placeholder"):
        spec_of(["a.jpg"], GIVEN | {"prompts": tmp_path})


def test_an_option_of_zero_counts_as_set() -> None:
    assert spec_of(["a.jpg"], GIVEN | {"min_coverage": 0.0}).min_coverage == 0.0


def test_a_watched_folder_takes_what_a_run_takes() -> None:
    def options(command: click.Command) -> dict[str, object]:
        kinds = {o: p.type.to_info_dict() for p in command.params for o in p.opts}
        return {name: kind for name, kind in kinds.items() if name.startswith("-")}

    watched = options(watch_folder)
    assert {n: watched.get(n) for n in options(run) if n != "--budget"} == {
        n: kind for n, kind in options(run).items() if n != "--budget"
    }
    assert set(watched) - set(options(run)) == {"--every"}


@pytest.mark.parametrize(
    ("text", "budget"),
    [("0.5", 0.5), ("5/month", TokenBudget(5.0, BudgetPeriod.MONTH)), ("0.5/day", "0.5/day")],
)
def test_a_budget_of_a_watch_is_of_each_job_or_of_a_period(text: str, budget: object) -> None:
    context = watch_folder.make_context("watch-folder", [".", "--budget", text])
    assert context.params["budget"] == budget or str(context.params["budget"]) == budget


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([".", "--budget", "0"], "0.0 is not in the range"),
        ([".", "--budget", "much"], "'much' is not a valid float range"),
        ([".", "--budget", "5/week"], "give an amount and a period, as 20/month or 5/day"),
        (["nowhere"], "does not exist"),
        ([__file__], "is a file"),
        (["https://h.org/a.jpg"], "a URL cannot be watched: name a folder"),
    ],
)
def test_what_cannot_be_watched_is_refused(words: list[str], said: str) -> None:
    with pytest.raises(click.UsageError) as refused:
        watch_folder.make_context("watch-folder", words)
    assert said in refused.value.message


def test_each_fresh_answer_is_a_job_of_its_own(tmp_path: Path) -> None:
    given = GIVEN | {"home": tmp_path, "sandbox": True, "report": None, "yes": False}
    given |= {"as_json": False, "quiet": True}
    fresh = asked_of(["a.jpg"], given | {"fresh": True})
    keys = {fresh.spec.key, fresh.anew().spec.key, fresh.anew().spec.key}
    assert len(keys) == 3
    assert None not in keys
    assert asked_of(["a.jpg"], given).anew().spec.key is None


def test_a_watch_is_its_folder_question_and_endpoint(tmp_path: Path) -> None:
    def name(folder: str, **options: Any) -> str:
        given = GIVEN | {"home": tmp_path, "sandbox": True, "report": None, "yes": False}
        given |= {"as_json": False, "quiet": True} | options
        return watch_of(asked_of([folder], given), folder, parse_budget("5/month")).name

    same = name("photos")
    assert same == name(str(Path("photos").absolute()), model="another", label="x", pack=3)
    assert len({same, name("other"), name("photos", ask="Why?"), name("photos", each="?")}) == 4
    assert not NAME.fullmatch(same)  # so no token is called so
