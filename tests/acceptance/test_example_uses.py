"""The examples for real uses, each run with its single command against the sandbox."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from core.text.citations import cited_numbers
from tests.support.command import Person

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]

EXAMPLES = Path(__file__).parents[2] / "examples"
USES = {
    "listing_photos": (25, {"included": 24, "duplicate": 1}, "3 dark: [7], [14], [21]."),
    "site_inspection": (90, {"included": 90}, "6 red: [19], [20]"),
    "scanned_pages": (14, {"included": 14}, "1 dark: [12]. 1 green: [9]."),
    "receipts": (24, {"included": 24}, "[24] shop: "),
}


@pytest.mark.parametrize("name", USES)
def test_an_example_runs_with_one_command_and_finds_what_was_painted(
    stranger: Person, name: str
) -> None:
    submitted, covered, said = USES[name]
    ran = subprocess.run(
        [str(EXAMPLES / name / "run.sh"), "--json", "--quiet"],
        env=stranger.environment,
        cwd=stranger.folder,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert ran.returncode == 0, ran.stderr
    result = json.loads(ran.stdout)
    coverage = {count: n for count, n in result["coverage"].items() if n}
    assert coverage == {"submitted": submitted, **covered}
    assert said in result["answer"]
    if name == "receipts":
        assert result["totals"]["total"]["count"] == 24
        assert result["usage"]["requests"] == 1
    if name == "site_inspection":
        red = result["answer"].split("6 red: ")[1].split(".")[0]
        assert set(cited_numbers(red)) == {19, 20, 56, 61, 62, 63}
        assert result["budget"] == 0.5


@pytest.mark.parametrize("name", USES)
def test_an_example_has_a_description_and_no_large_file(name: str) -> None:
    assert f"examples/{name}/run.sh" in (EXAMPLES / name / "README.md").read_text()
    assert name in (EXAMPLES / "README.md").read_text()
    assert all(file.stat().st_size < 20_000 for file in (EXAMPLES / name).rglob("*.*"))
