"""What the page says of a job's state: the words of ``watch``, without commands."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from clients.limiter.script import AccountState
from core.account.budget import Money, NextCall, advised, reason
from core.catalog.tiers import AccountLimits
from core.job_options import JobOptions
from core.states import JobStatus, NodeStatus
from models.reads.pipeline import JobRow, Progress, Used
from overstory.api.progress import NO_WORKER, note_of, value_of
from overstory.commands.watch import View
from overstory.output.progress import Rate

LIMITS = AccountLimits(5, 100, 500_000)
STATE = AccountState(0, 0, 0, LIMITS, LIMITS, {}, None, None, None, 60.0)
NOBODY = "waits for workers: none answers; 'overstory resume JOB' or 'overstory up' starts some"
SPENT = reason("0a1b", 2.0, Money(1.9, 0.05), 0.1, [NextCall(6, 0.02, 0.1)] * 3, "USD")


def seen(status: JobStatus = JobStatus.RUNNING, why: str | None = None) -> View:
    values = {"id": "0a1b", "ask": "What?", "status": status, "reason": why, "submitted": 4}
    empty = dict.fromkeys(JobRow.__dataclass_fields__)
    job = JobRow(**empty | values | {"options": JobOptions(budget=2.0)})  # type: ignore[arg-type]
    progress = Progress({"pending": 4}, {"waiting": 1}, {}, Used(3, 100, 0, 10, 0.01, "USD"))
    levels = [[NodeStatus.DONE, NodeStatus.RUNNING], [NodeStatus.WAITING]]
    return View(job, progress, levels, STATE, None, None)


@pytest.mark.parametrize(
    ("view", "nobody", "note"),
    [
        (seen(), "", "held by: the model's answers"),
        (seen(), NOBODY, "waits for workers: none answers"),
        (replace(seen(), state=None), "", NO_WORKER),
        (seen(JobStatus.PAUSED, "on request"), "", "paused: on request"),
        (seen(JobStatus.PAUSED), "", "paused: on request"),
        (seen(JobStatus.COMPLETED), NOBODY, ""),
    ],
)
def test_a_note_says_what_holds_a_job_back_and_names_no_command(
    view: View, nobody: str, note: str
) -> None:
    assert note_of(view, nobody) == note


def test_a_spent_budget_says_which_one_would_do() -> None:
    view = seen(JobStatus.PAUSED, SPENT)
    assert note_of(view) == f"paused: {SPENT.partition(': overstory')[0]}."
    value = value_of(view, Rate())
    assert (value["over_budget"], value["budget"], value["budget_enough"]) == (True, 2.0, 2.05)
    assert advised("on request") == ("on request", None)


def test_a_tree_is_a_letter_for_each_node_and_all_is_json() -> None:
    value = value_of(seen(), Rate())
    assert value["levels"] == ["dr", "w"]
    assert json.loads(json.dumps(value)) == value
