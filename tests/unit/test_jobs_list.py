"""``overstory jobs`` on screens of all widths."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from core.states import JobStatus
from models.reads.inspect import JobLine
from overstory.commands.inspect.jobs import draw_jobs
from overstory.output.tables import values

ASK = "Which of these need repair, and how soon?"
JOB = JobLine(
    id="2f357c4b6ba3", status=JobStatus.COMPLETED, label=None, ask=ASK, model="m", submitted=600,
    included=598, failed=2, requests=11, cost=0.0412, currency="USD", created_at=1.8e9,
    finished_at=1.8e9, seconds=40.0, idle_seconds=0.0, owner=None,
)  # fmt: skip
JOBS = [JOB, replace(JOB, id="50aa38dd61b3", status=JobStatus.RUNNING, label="trip", failed=0)]


def lines(width: int, jobs: list[JobLine] = JOBS) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(draw_jobs(jobs, width))
    told: io.StringIO = console.file  # type: ignore[assignment]
    return [line.rstrip() for line in told.getvalue().splitlines()]


@pytest.mark.parametrize("width", [140, 180])
def test_a_wide_list_is_a_table_with_the_questions(width: int) -> None:
    head, first, second = lines(width)
    assert head.endswith("began             question")
    assert first.endswith(ASK)
    assert second.endswith(f"[trip] {ASK}")


def test_at_80_columns_each_question_has_a_line_of_its_own() -> None:
    head, first, ask, second, labelled = lines(80)
    assert head.split() == ["job", "status", "images", "failed", "cost", "took", "began"]
    for job, line in zip(JOBS, (first, second), strict=True):
        assert line.startswith(f"{job.id}  {job.status}")
        assert "598/600" in line
        assert "0.0412 USD" in line
    assert (ask, labelled) == (f"  {ASK}", f"  [trip] {ASK}")
    assert all(len(line) <= 80 for line in (head, first, second))


@pytest.mark.parametrize("width", [160, 100, 40])
def test_owners_are_shown_where_a_token_submitted_a_job(width: int) -> None:
    shown = " ".join(lines(width, [JOB, replace(JOB, owner="lab-2")]))
    assert "lab-2" in shown
    assert ("owner" in shown) == (width > 40)
    assert "owner" not in " ".join(lines(width))


def test_at_40_columns_nothing_is_cut() -> None:
    first = lines(40, [JOB])
    assert first[0] == "2f357c4b6ba3  completed"
    words = " ".join(" ".join(first[1:]).split())
    assert words.startswith("598/600 images, 2 failed, 0.0412 USD, 40 s, 20")
    assert words.endswith(ASK)
    assert all(len(line) <= 40 for line in first)


def test_a_job_too_wide_for_a_line_keeps_its_id_and_status() -> None:
    wide = replace(JOB, submitted=40_000, included=39_998, cost=10.8596, seconds=4_000.0)
    assert lines(80, [wide])[0] == "2f357c4b6ba3  completed"


@pytest.mark.parametrize(
    ("summed", "cost"),
    [(0.1 + 0.2, 0.3), (0.0005794000000000001, 0.0005794), (1e-10, 1e-10), (0.0, 0.0)],
)
def test_json_costs_are_decimal_strings(summed: float, cost: float) -> None:
    assert values(replace(JOB, cost=summed))["cost"] == cost
