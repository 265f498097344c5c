"""What ``overstory watch`` shows of a job's state."""

from __future__ import annotations

import importlib
from dataclasses import replace

import pytest
from rich.console import Console

from clients.limiter.script import AccountState, AutoState, Hold
from core.catalog.tiers import AccountLimits
from core.errors import LimitKind, ServiceAway
from core.states import JobStatus, NodeStatus
from models.reads.pipeline import JobRow, Progress, Used
from overstory.commands.watch import StallNotice, View, above_bars, held_back_by, one_line
from overstory.local.hindrances import WorkerSearch
from overstory.output.progress import Bars, Display
from overstory.output.tree_levels import cells
from tasks.upload import STORE_FULL, STORE_REFUSES

watch = importlib.import_module("overstory.commands.watch")  # the package exports the command
LIMITS = AccountLimits(5, 100, 500_000)
AUTO = AutoState(level=7, trial=9, most=200, why="grows")
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
) -> View:
    job = JobRow(
        **dict.fromkeys(JobRow.__dataclass_fields__)  # type: ignore[arg-type]
        | {"id": "0a1b", "ask": "[bold]What?", "status": status, "reason": "on request"}
    )
    used = Used(3, 100, 0, 10, 0.01, "USD")
    progress = Progress(images or {"pending": 4}, {"waiting": 1}, {}, used)
    return View(job, progress, levels or [[WAITING]], state, waits, trouble)


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
        (seen(state=replace(STATE, binds=LimitKind.CONCURRENCY, auto=AUTO)), "9 tried now: grows"),
        (seen(state=replace(STATE, binds=Hold.COOLING)), "429"),
        (seen(state=replace(STATE, paused="no money")), "the account is paused (no money)"),
        (seen(trouble="the endpoint is away"), "tried again: the endpoint is away"),
        (seen(state=None), "'overstory resume 0a1b' starts some"),
        (seen(status=JobStatus.PAUSED), "paused: on request"),
    ],
)
def test_what_holds_a_job_back_is_said(standing: View, words: str) -> None:
    assert words in held_back_by(standing)


@pytest.mark.parametrize("binds", [*LimitKind, *Hold])
def test_every_limit_has_words(binds) -> None:
    assert held_back_by(seen(state=replace(STATE, binds=binds)))


def test_nothing_holds_an_ended_job_back() -> None:
    assert held_back_by(seen(status=JobStatus.COMPLETED)) == ""


def test_a_job_that_does_not_move_for_long_is_noticed_and_moving_ends_that() -> None:
    stall = StallNotice()
    assert "no progress" not in stall.note(seen(), 0.0)
    assert "no progress" not in stall.note(seen(), 29.0)
    assert "no progress for 31 s" in stall.note(seen(), 31.0)
    assert "no progress" not in stall.note(seen({"prepared": 4}), 32.0)


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
        view = seen({"pending": 2, "prepared": 2}, [[DONE, RUNNING], [WAITING]])
        console.print(Bars(console).draw(view.counts, held_back_by(view), above_bars(view)))
    text = console.export_text()
    for words in ("job 0a1b", "[bold]What?", "■▶", "1/2", "prepare", "0.0100 USD", "held by"):
        assert words in text


def test_it_goes_on_while_the_database_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = seen({"included": 4}, [[DONE]], status=JobStatus.COMPLETED)
    turns = iter([seen(), ServiceAway("the database does not answer"), ended])

    class Silent:
        def view(self) -> View:
            turn = next(turns)
            if isinstance(turn, ServiceAway):
                raise turn
            return turn

    monkeypatch.setattr(watch, "REFRESH_SECONDS", 0.0)
    monkeypatch.setattr(watch, "SELDOM", 0)
    monkeypatch.setattr(Display, "wait", lambda self, note: waits.append(note))
    waits: list[str] = []
    assert watch._follow(Silent(), Display(), WorkerSearch(set)) is ended
    assert waits == ["waiting: the database does not answer"]


def test_one_line_says_the_same_in_a_pipe() -> None:
    line = one_line(seen())
    assert line.startswith("job 0a1b running: prepare 0/4")
    assert "held by: preparing images (CPU)" in line
