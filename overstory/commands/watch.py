"""``overstory watch``: live progress of a job that another process serves."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click
from rich.console import Console, Group, RenderableType
from rich.text import Text

from clients.limiter.limiter import AccountState
from core.account.budget import is_spent
from core.errors import DatabaseUnusable, ServiceAway
from core.settings import Settings
from core.states import JobStatus, NodeStatus
from models.engine import Database
from models.reads import inspect, pipeline
from models.reads.pipeline import JobRow, Progress
from overstory.job_argument import find_job, job_argument
from overstory.local.hindrances import WorkerSearch, consumed_queues, nobody_works
from overstory.local.job_runner import planning_services
from overstory.options import home_option
from overstory.output.held_by import account_state, comparing, held_by, held_by_store
from overstory.output.learned import settled_limits
from overstory.output.progress import Bars, Counts, Display, Lines, Rate, counts_of, plain_line
from overstory.output.result import Ran
from overstory.output.summary import Showing
from overstory.output.tables import clipped
from overstory.output.terminal import print_plain, safe_line
from overstory.output.tree_levels import draw_levels
from tasks.runtime.services import Services
from workers.app import make_app

REFRESH_SECONDS = 1.0
SELDOM = 20
"""A million images take a good part of a second to count: that is done for a twentieth of the time
at most."""
STALLED_SECONDS = 30.0
"""Without any progress for this long, the note mentions ``overstory doctor``."""
TROUBLE_SHOWN = 160
QUESTION_SHOWN = 69


@dataclass(frozen=True, slots=True)
class View:
    """Where a job stands. ``state`` is None when the limiter does not answer."""

    job: JobRow
    progress: Progress
    levels: list[list[NodeStatus]]
    state: AccountState | None
    upload_waits: str | None
    trouble: str | None
    limits: Sequence[str] = ()  # what was learned about the endpoint while the job ran
    away: str = ""  # what is known of a limiter that does not answer

    @property
    def counts(self) -> Counts:
        images = sum(n for status, n in self.progress.images.items() if status != "duplicate")
        return counts_of(self.progress, images)


@click.command()
@job_argument
@click.option("--once", is_flag=True, help="Show the current state once and exit.")
@home_option
def watch(job: str, once: bool, home: Path | None) -> None:
    """Watch a job: tree, throughput, limits, cost, time left.

    When the job ends, the command prints the answer and exits with the job's status. Ctrl-C stops
    only this command, not the job.
    """
    settings, database, row = find_job(job, home)
    console = Console(stderr=True)
    observer = Observer(settings, database, row.id)
    if once:
        nobody = nobody_works(settings) if row.status == JobStatus.RUNNING else ""
        _show_once(console, observer.view(), nobody)
        return
    search = WorkerSearch(lambda: consumed_queues(make_app(settings)))
    with Bars(console, timed=False) if console.is_terminal else Lines(console) as display:
        ended = _follow(observer, display, search)
    Showing(console, settings, as_json=False).finish(Ran(ended.job, interrupted=False))


def _show_once(console: Console, view: View, nobody: str) -> None:
    if console.is_terminal:
        bars = Bars(console, timed=False)
        console.print(bars.draw(view.counts, nobody or held_back_by(view), above_bars(view)))
    else:
        print_plain(console, one_line(view, nobody))


def _follow(observer: Observer, display: Display, search: WorkerSearch) -> View:
    """Refresh the display until the job has ended, also while the database does not answer."""
    pause = threading.Event()
    stall = StallNotice()
    while True:
        began = time.monotonic()
        try:
            view = observer.view()
        except DatabaseUnusable:
            raise
        except ServiceAway as error:  # the workers wait for it, too
            display.wait(f"waiting: {' '.join(str(error).split())}")
            pause.wait(REFRESH_SECONDS)
            continue
        took = time.monotonic() - began
        note = stall.note(view, time.monotonic())
        if view.job.status == JobStatus.RUNNING and view.state is not None:
            moving = (view.counts.done, view.progress.used.requests)
            note = search.note(moving, time.monotonic()) or note
        display.show(view.counts, note, above_bars(view))
        display.report(view.limits)
        if view.job.status.ended:
            return view
        pause.wait(max(REFRESH_SECONDS, SELDOM * took))


class Observer:
    """Reads the state of one job and of the account that serves it."""

    def __init__(self, settings: Settings, database: Database, job_id: str) -> None:
        self._settings = settings
        self._database = database
        self._job_id = job_id
        self._services: Services | None = None

    def view(self) -> View:
        view = view_of(self._database, self._job_id, self._state())
        return view if view.state is not None else replace(view, away=limiter_away(self._settings))

    def _state(self) -> AccountState | None:
        """None when the limiter does not answer. The next call then looks for it again, because an
        embedded stack may start later and on another port."""
        self._services = self._services or planning_services(self._settings)
        state = account_state(self._services)
        if state is None:
            self._services = None
        return state


def limiter_away(settings: Settings) -> str:
    """What it means that the limiter does not answer; empty if a run's own one has ended."""
    if not (settings.limiter_url or settings.broker_url):
        return ""
    name = "OVERSTORY_LIMITER_URL" if settings.limiter_url else "OVERSTORY_BROKER_URL"
    return f"Redis does not answer this machine: 'overstory doctor' says more ({name})"


def view_of(database: Database, job_id: str, state: AccountState | None) -> View:
    """Where an existing job stands now."""
    with database.read() as connection:
        job = pipeline.job(connection, job_id)
        assert job is not None, "the caller has read it"
        return View(
            job,
            pipeline.progress(connection, job.id),
            inspect.levels(connection, job.id),
            state,
            pipeline.upload_waits_for(connection, job.id),
            pipeline.trouble(connection, job.id),
            settled_limits(connection, job),
        )


class StallNotice:
    """Adds a hint to the note when a job has made no progress for STALLED_SECONDS."""

    def __init__(self) -> None:
        self._last: object = None
        self._since = 0.0

    def note(self, view: View, now: float) -> str:
        moving = (view.counts.done, view.progress.used.requests)
        if moving != self._last or view.job.status.ended:
            self._last, self._since = moving, now
        note = held_back_by(view)
        if now - self._since < STALLED_SECONDS or view.job.status == JobStatus.PAUSED:
            return note
        hint = f"no progress for {now - self._since:.0f} s: 'overstory doctor' finds out why"
        return f"{note} · {hint}" if note else hint


def held_back_by(view: View) -> str:
    """What limits the job's speed now; empty when that is not known."""
    return safe_line(_held_back_by(view))


def _held_back_by(view: View) -> str:
    job, state, images = view.job, view.state, view.progress.images
    if job.status.ended:
        return ""
    if is_spent(job.status, job.reason):
        return f"paused: {job.reason}"
    if job.status == JobStatus.PAUSED:
        return f"paused: {job.reason}: 'overstory resume {job.id}' continues it"
    if state is None:
        return view.away or f"no worker serves this job: 'overstory resume {job.id}' starts some"
    if view.trouble:
        return f"tried again: {view.trouble[:TROUBLE_SHOWN]}"
    if state.paused or state.binds is not None:
        return held_by(state)
    leaves = view.levels[0] if view.levels else []
    if NodeStatus.RUNNING in leaves or NodeStatus.READY in leaves:
        return held_by_store(view.upload_waits) or "held by: the model's answers"
    if view.upload_waits:
        return f"held by: uploads ({view.upload_waits})"
    return comparing(images) if job.comparing else _held_by_images(images)


def _held_by_images(images: Mapping[str, int]) -> str:
    if images.get("pending"):
        return "held by: preparing images (CPU)"
    return "held by: uploads" if images.get("prepared") else "held by: the model's answers"


def above_bars(view: View) -> RenderableType:
    """Job, question and tree."""
    question = clipped(safe_line(view.job.ask), QUESTION_SHOWN)
    head = Text.assemble((f"job {view.job.id} ", "bold"), view.job.status, "  ", (question, "dim"))
    return Group(head, Text(), draw_levels(view.levels), Text())


def one_line(view: View, nobody: str = "") -> str:
    """The view as one line, for a pipe. ``nobody``: why no worker works on it."""
    line = plain_line(view.counts, Rate(), nobody or held_back_by(view))
    return f"job {view.job.id} {view.job.status}: {line}"
