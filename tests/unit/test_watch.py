"""What ``overstory watch`` shows of a job's state."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rich.console import Console

from clients.limiter.limiter import AccountState, Hold
from core.catalog.tiers import AccountLimits
from core.errors import LimitKind
from core.states import JobStatus, NodeStatus
from models.reads.pipeline import JobRow, Progress, Used
from overstory.commands.watch import Patience, Seen, cells, holds_back, picture, told
from overstory.output.progress import Rate
from tasks.upload import STORE_FULL, STORE_REFUSES

LIMITS = AccountLimits(5, 100, 500_000)
STATE = AccountState(0, 0, 0, LIMITS, LIMITS, {}, None, None, None, 60.0)
WAITING, READY, RUNNING, DONE, FAILED = (
    NodeStatus.WAITING, NodeStatus.READY, NodeStatus.RUNNING, NodeStatus.DONE, NodeStatus.FAILED,
)  # fmt: skip


def seen(
    images: dict[str, int] | None = None,
    levels: list[list[NodeStatus]] | None = None,
    state: AccountState | None = STATE,
    status: JobStatus = JobStatus.RUNNING,
    waits: str | None = None,
    trouble: str | None = None,
) -> Seen:
    job = JobRow(
        **dict.fromkeys(JobRow.__dataclass_fields__)  # type: ignore[arg-type]
        | {"id": "0a1b", "ask": "[bold]What?", "status": status, "reason": "on request"}
    )
    used = Used(3, 100, 0, 10, 0.01, "USD")
    progress = Progress(images or {"pending": 4}, {"waiting": 1}, {}, used)
    return Seen(job, progress, levels or [[WAITING]], state, waits, trouble)


@pytest.mark.parametrize(
    ("standing", "words"),
    [
        (seen(), "preparing images (CPU)"),
        (seen({"prepared": 2}), "held by: uploads"),
        (seen({"prepared": 2}, waits="the file store is full"), "the file store is full"),
        (seen(levels=[[RUNNING, WAITING]]), "the model's answers"),
        (seen(levels=[[RUNNING, WAITING]], waits=STORE_FULL), "OVERSTORY_INLINE_WHEN_FULL=true"),
        (seen({"prepared": 2}, waits=STORE_REFUSES), "overstory files gc"),
        (seen({"included": 4}, [[DONE], [RUNNING]]), "the model's answers"),
        (seen(state=replace(STATE, binds=LimitKind.RPM)), "requests a minute"),
        (seen(state=replace(STATE, binds=LimitKind.TPM)), "tokens a minute"),
        (seen(state=replace(STATE, binds=LimitKind.CONCURRENCY)), "calls in flight"),
        (seen(state=replace(STATE, binds=Hold.COOLING)), "429"),
        (seen(state=replace(STATE, paused="no money")), "the account is paused (no money)"),
        (seen(trouble="the endpoint is away"), "tried again: the endpoint is away"),
        (seen(state=None), "'overstory resume 0a1b' does"),
        (seen(status=JobStatus.PAUSED), "paused: on request"),
    ],
)
def test_the_reason_for_a_jobs_wait_is_shown(standing: Seen, words: str) -> None:
    assert words in holds_back(standing)


@pytest.mark.parametrize("binds", [*LimitKind, *Hold])
def test_every_limit_has_a_text(binds) -> None:
    assert holds_back(seen(state=replace(STATE, binds=binds)))


def test_an_ended_job_waits_for_nothing() -> None:
    assert holds_back(seen(status=JobStatus.COMPLETED)) == ""


def test_a_stalled_job_is_reported_until_it_moves() -> None:
    patience = Patience()
    assert "nothing moved" not in patience.note(seen(), 0.0)
    assert "nothing moved" not in patience.note(seen(), 29.0)
    assert "nothing moved for 31 s" in patience.note(seen(), 31.0)
    assert "nothing moved" not in patience.note(seen({"prepared": 4}), 32.0)


@pytest.mark.parametrize(
    ("nodes", "most", "drawn"),
    [
        ([DONE, WAITING], 4, [DONE, WAITING]),
        ([DONE, DONE, DONE, WAITING], 2, [DONE, WAITING]),
        ([DONE, FAILED, RUNNING, READY], 2, [FAILED, RUNNING]),
        ([DONE] * 1000, 64, [DONE] * 64),
    ],
)
def test_many_nodes_share_a_cell_which_shows_the_worst_state(nodes, most, drawn) -> None:
    assert cells(nodes, most) == drawn


def test_the_board_shows_tree_stages_cost_and_the_exact_question() -> None:
    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    with console.file:
        console.print(
            picture(seen({"pending": 2, "prepared": 2}, [[DONE, RUNNING], [WAITING]]), Rate())
        )
    text = console.export_text()
    for words in ("job 0a1b", "[bold]What?", "■▶", "1/2", "prepare", "0.0100 USD", "held by"):
        assert words in text


def test_a_pipe_gets_the_same_in_one_line() -> None:
    line = told(seen())
    assert line.startswith("job 0a1b running: prepare 0/4")
    assert "held by: preparing images (CPU)" in line
