"""A command's options, and how a wrong one is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest

from core.errors import WrongUsage
from overstory.commands.estimate import estimate
from overstory.commands.run import run
from overstory.commands.specs import spec_of

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
