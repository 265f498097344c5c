"""``overstory watch``: live progress of a job that is served elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Self

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from clients.limiter.limiter import AccountState
from core.account.budget import is_spent
from core.settings import Settings
from core.states import JobStatus, NodeStatus
from models.engine import Database
from models.reads import inspect, pipeline
from models.reads.pipeline import JobRow, Progress
from overstory.job_argument import find_job, home_option, job_argument
from overstory.local.job_runner import planning_services
from overstory.output.held_by import account_state, held_by, held_by_store
from overstory.output.progress import STAGES, Counts, Lines, Rate, counts_of, line
from overstory.output.result import Ran
from overstory.output.summary import Showing
from overstory.output.terminal import safe_line
from tasks.runtime.services import Services

LOOK_SECONDS = 1.0
SILENT_SECONDS = 30.0
"""Nothing moved for so long: it is time to say so."""
CELLS = 64
TROUBLE_SHOWN = 160
GLYPHS = {
    NodeStatus.DONE: ("■", "green"),
    NodeStatus.RUNNING: ("▶", "yellow"),
    NodeStatus.READY: ("▷", "yellow"),
    NodeStatus.FAILED: ("✕", "red"),
    NodeStatus.CANCELLED: ("✕", "dim"),
    NodeStatus.WAITING: ("·", "dim"),
}
FIRST_SHOWN = (
    *(NodeStatus.FAILED, NodeStatus.RUNNING, NodeStatus.READY, NodeStatus.WAITING),
    *(NodeStatus.CANCELLED, NodeStatus.DONE),
)
"""Which state a cell shows that stands for several nodes."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Where a job stands. ``state`` is None where no limiter answers."""

    job: JobRow
    progress: Progress
    levels: list[list[NodeStatus]]
    state: AccountState | None
    upload_waits: str | None
    trouble: str | None

    @property
    def counts(self) -> Counts:
        images = sum(n for status, n in self.progress.images.items() if status != "duplicate")
        return counts_of(self.progress, images)


@click.command()
@job_argument
@click.option("--once", is_flag=True, help="Show where it stands, and leave.")
@home_option
def watch(job: str, once: bool, home: Path | None) -> None:
    """Watch a job: its tree, throughput, what holds it back, cost and the time left.

    Ends with the job, prints its answer, and exits with its status. Ctrl-C leaves the job alone.
    """
    settings, database, row = find_job(job, home)
    console = Console(stderr=True)
    eyes = Eyes(settings, database, row.id)
    board: Board | Lines = Board(console) if console.is_terminal else Lines(console)
    if once:
        seen = eyes.look()
        if console.is_terminal:
            console.print(picture(seen, Rate()))
        else:
            console.print(told(seen), markup=False, highlight=False, soft_wrap=True)
        return
    with board:
        seen = _stay(eyes, board)
    Showing(console, settings, as_json=False).finish(Ran(seen.job, interrupted=False))


def _stay(eyes: Eyes, board: Board | Lines) -> Seen:
    """Look until the job has ended."""
    pause = threading.Event()
    patience = Patience()
    while True:
        seen = eyes.look()
        note = patience.note(seen, time.monotonic())
        if isinstance(board, Board):
            board.draw(seen, note)
        else:
            board.show(seen.counts, note)
        if seen.job.status.ended:
            return seen
        pause.wait(LOOK_SECONDS)


class Eyes:
    """Looks at one job and at the account that serves it."""

    def __init__(self, settings: Settings, database: Database, job_id: str) -> None:
        self._settings = settings
        self._database = database
        self._job_id = job_id
        self._services: Services | None = None

    def look(self) -> Seen:
        state = self._state()
        with self._database.read() as connection:
            job = pipeline.job(connection, self._job_id)
            assert job is not None, "jobs are not deleted"
            return Seen(
                job,
                pipeline.progress(connection, job.id),
                inspect.levels(connection, job.id),
                state,
                pipeline.upload_waits_for(connection, job.id),
                pipeline.trouble(connection, job.id),
            )

    def _state(self) -> AccountState | None:
        """None where nobody answers; an embedded stack may come up later, somewhere else."""
        self._services = self._services or planning_services(self._settings)
        state = account_state(self._services)
        if state is None:
            self._services = None
        return state


class Patience:
    """Notices that nothing moves any more."""

    def __init__(self) -> None:
        self._last: object = None
        self._since = 0.0

    def note(self, seen: Seen, now: float) -> str:
        """What holds the job back, and what to do where it has stood still for long."""
        moving = (seen.counts.done, seen.progress.used.requests)
        if moving != self._last or seen.job.status.ended:
            self._last, self._since = moving, now
        note = holds_back(seen)
        if now - self._since < SILENT_SECONDS or seen.job.status == JobStatus.PAUSED:
            return note
        hint = f"nothing moved for {now - self._since:.0f} s: 'overstory doctor' looks why"
        return f"{note} · {hint}" if note else hint


def holds_back(seen: Seen) -> str:
    """What binds now, in words; empty where nothing is known to."""
    return safe_line(_holds_back(seen))


def _holds_back(seen: Seen) -> str:
    job, state, images = seen.job, seen.state, seen.progress.images
    if job.status.ended:
        return ""
    if is_spent(job.status, job.reason):
        return f"paused: {job.reason}"
    if job.status == JobStatus.PAUSED:
        return f"paused: {job.reason}: 'overstory resume {job.id}' lets it go on"
    if state is None:
        return f"nobody serves it: 'overstory resume {job.id}' does"
    if seen.trouble:
        return f"tried again: {seen.trouble[:TROUBLE_SHOWN]}"
    if state.paused or state.binds is not None:
        return held_by(state)
    leaves = seen.levels[0] if seen.levels else []
    if NodeStatus.RUNNING in leaves or NodeStatus.READY in leaves:
        return held_by_store(seen.upload_waits) or "held by: the model's answers"
    if seen.upload_waits:
        return f"held by: uploads ({seen.upload_waits})"
    if images.get("pending"):
        return "held by: preparing images (CPU)"
    return "held by: uploads" if images.get("prepared") else "held by: the model's answers"


# --- on a terminal


class Board:
    """The tree and the stages, redrawn in place."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, transient=True, auto_refresh=False)
        self._rate = Rate()

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *details: object) -> None:
        self._live.stop()

    def draw(self, seen: Seen, note: str) -> None:
        self._rate.add(time.monotonic(), seen.counts.images)
        self._live.update(picture(seen, self._rate, note), refresh=True)


def picture(seen: Seen, rate: Rate, note: str | None = None) -> RenderableType:
    """The whole board."""
    job, counts = seen.job, seen.counts
    if not rate.seen:
        rate.add(0.0, counts.images)
    head = Text.assemble((f"job {job.id} ", "bold"), job.status, "  ", (_short(job.ask), "dim"))
    bars = Table.grid(padding=(0, 2))
    for stage, done, total in zip(STAGES, counts.done, counts.total, strict=True):
        if total:
            bar = ProgressBar(total=total, completed=done, width=40)
            bars.add_row(f"{stage:>9}", bar, f"{done:,}/{total:,}")
    parts: list[RenderableType] = [head, Text(), tree_lines(seen.levels), Text(), bars]
    parts.append(Text(line(counts, rate), style="dim"))
    note = holds_back(seen) if note is None else note
    return Group(*parts, Text(note, style="yellow"))


def tree_lines(levels: Sequence[Sequence[NodeStatus]]) -> RenderableType:
    """A line a level, the root on top."""
    grid = Table.grid(padding=(0, 2))
    for height in reversed(range(len(levels))):
        nodes = levels[height]
        name = "answer" if height == len(levels) - 1 else "leaves" if height == 0 else "summaries"
        done = sum(status == NodeStatus.DONE for status in nodes)
        drawn = Text.assemble(*(GLYPHS[status] for status in cells(nodes, CELLS)))
        grid.add_row(f"{name:>9}", drawn, f"{done:,}/{len(nodes):,}")
    return grid


def cells(nodes: Sequence[NodeStatus], most: int) -> list[NodeStatus]:
    """The states to draw: one a node, or in ``most`` cells the one that matters of several."""
    if len(nodes) <= most:
        return list(nodes)
    edges = [len(nodes) * cell // most for cell in range(most + 1)]
    groups = [nodes[start:end] for start, end in pairwise(edges)]
    return [min(group, key=FIRST_SHOWN.index) for group in groups]


def told(seen: Seen) -> str:
    """One line, for a pipe."""
    rate = Rate()
    rate.add(0.0, seen.counts.images)
    stages = ", ".join(
        f"{stage} {done}/{total}"
        for stage, done, total in zip(STAGES, seen.counts.done, seen.counts.total, strict=True)
        if total
    )
    words = f"job {seen.job.id} {seen.job.status}: {stages} · {line(seen.counts, rate)}"
    note = holds_back(seen)
    return f"{words} · {note}" if note else words


def _short(text: str) -> str:
    words = safe_line(text)
    return words if len(words) < 70 else words[:69] + "…"
