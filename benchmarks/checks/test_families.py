"""The five families: their bills agree with our formulas, and one is tried with the command."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from benchmarks.families.pictures import draw
from benchmarks.families.standin import FAMILIES, Family
from benchmarks.families.trial import tried
from core.catalog.facts import facts_of

SIZES = 300


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
@pytest.mark.parametrize("detail", ["low", "high"])
def test_what_the_vendor_says_is_what_the_formula_counts(family: Family, detail: str) -> None:
    formula = facts_of(family.model, f"https://{family.host or 'localhost'}/v1").formula
    assert formula is not None
    draw = random.Random(5)
    for _ in range(SIZES):
        width = round(10 ** draw.uniform(1.5, 3.8))
        height = max(28, round(width / draw.uniform(0.3, 3.0)))
        billed = family.bill(width, height, detail)
        assert formula.tokens(width, height, detail) == billed, (width, height)


def test_an_estimate_is_close_to_the_bill_and_a_budget_holds(tmp_path: Path) -> None:
    """OpenAI's, because it refuses max_tokens and a temperature: nothing may be refused."""
    trial = tried(FAMILIES[0], "high", draw(tmp_path / "photos", 8), tmp_path, pack=3)
    assert trial.problems == []
    assert 0 < trial.spent[0] < trial.spent[1]
