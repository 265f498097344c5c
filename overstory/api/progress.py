"""Where a job stands, as ``overstory watch`` shows it, for as many watchers as there are."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter

from core.account.budget import advised, is_spent
from core.settings import SANDBOX
from core.states import JobStatus, NodeStatus
from models.reads import inspect
from models.reads.pipeline import JobRow
from overstory.api.caller import Calling, find_job
from overstory.api.problems import PROBLEMS
from overstory.commands.watch import View, held_back_by, view_of
from overstory.local.hindrances import WorkerSearch, consumed_queues
from overstory.output.held_by import account_state
from overstory.output.progress import STAGES, Rate, is_priced
from tasks.runtime.services import Services
from workers.app import make_app

FRESH_SECONDS = 0.8
"""Watchers of one job share what was read so recently."""
SELDOM = 10
"""A million images take a good part of a second to count: that is done for a tenth of the time at
most."""
WATCHED_MAX = 500
"""Jobs whose rates are kept; the one that was looked at longest ago is forgotten."""
LETTERS = {
    NodeStatus.WAITING: "w",
    NodeStatus.READY: "y",
    NodeStatus.RUNNING: "r",
    NodeStatus.DONE: "d",
    NodeStatus.FAILED: "f",
    NodeStatus.CANCELLED: "c",
}
"""A node of the tree as one letter: a tree of 6,000 leaves takes 6 KB."""
NO_WORKER = "no worker serves this job: the service that does the work is not up"


@dataclass(slots=True)
class Watched:
    """What is remembered of one job between two looks."""

    search: WorkerSearch
    rate: Rate = field(default_factory=Rate)
    value: dict[str, Any] = field(default_factory=dict)
    at: float = float("-inf")
    took: float = 0.0
    looking: threading.Lock = field(default_factory=threading.Lock)


class SharedProgress:
    """Reads jobs at most once for FRESH_SECONDS each."""

    def __init__(self, services: Services, clock: Callable[[], float] = time.monotonic) -> None:
        self._services = services
        self._clock = clock
        self._jobs: OrderedDict[str, Watched] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, job: JobRow) -> dict[str, Any]:
        watched = self._watched(job.id)
        with watched.looking:
            now = self._clock()
            fresh = max(FRESH_SECONDS, SELDOM * watched.took)
            if now - watched.at >= fresh or watched.value["status"] != job.status:
                watched.value, watched.at = self._looked(job.id, watched, now), now
                watched.took = self._clock() - now
            return watched.value

    def _watched(self, job: str) -> Watched:
        with self._lock:
            if job not in self._jobs:
                settings = self._services.settings
                search = WorkerSearch(lambda: consumed_queues(make_app(settings)))
                self._jobs[job] = Watched(search)
            self._jobs.move_to_end(job)
            while len(self._jobs) > WATCHED_MAX:
                self._jobs.popitem(last=False)
            return self._jobs[job]

    def _looked(self, job: str, watched: Watched, now: float) -> dict[str, Any]:
        view = view_of(self._services.database, job, account_state(self._services))
        watched.rate.add(now, view.counts.images)
        nobody = ""
        if view.job.status == JobStatus.RUNNING and view.state is not None:
            moving = (view.counts.done, view.progress.used.requests)
            nobody = watched.search.note(moving, now)
        with self._services.database.read() as connection:
            line = inspect.job_line(connection, job)
            last_event = inspect.last_event(connection, job)
        of_line = {"label": line.label, "seconds": line.seconds, "last_event": last_event}
        return value_of(view, watched.rate, nobody) | of_line


def value_of(view: View, rate: Rate, nobody: str = "") -> dict[str, Any]:
    """A view as JSON values. ``nobody``: why no worker works on the job."""
    job, counts, used = view.job, view.counts, view.progress.used
    tokens = used.prompt_tokens + used.completion_tokens
    runs = job.status == JobStatus.RUNNING
    return {
        "job": job.id,
        "ask": job.ask,
        "each": None if job.options.each_only else job.options.each,
        "by": job.options.by,
        "created": job.created_at,
        "follows": job.follows,
        "owner": job.owner,
        "model": job.model,
        "sandbox": job.endpoint == SANDBOX,
        "answered": job.answer is not None,
        "status": str(job.status),
        "ended": job.status.ended,
        "reason": job.reason,
        "stages": [
            {"name": name, "done": done, "total": total}
            for name, done, total in zip(STAGES, counts.done, counts.total, strict=True)
            if total
        ],
        "images": {"submitted": job.submitted, **view.progress.images},
        "note": note_of(view, nobody),
        "over_budget": is_spent(job.status, job.reason),
        "budget_enough": advised(job.reason or "")[1],
        "limits": [*view.limits],
        "images_per_second": round(rate.per_second(), 3) if runs else 0.0,
        "seconds_left": rate.eta_seconds(counts.left) if runs and counts.left else None,
        "requests": used.requests,
        "tokens": tokens,
        "cost": round(used.cost, 6),
        "currency": used.currency,
        "priced": is_priced(used.cost, tokens),
        "budget": job.options.budget,
        "levels": ["".join(LETTERS[node] for node in level) for level in view.levels],
    }


def note_of(view: View, nobody: str = "") -> str:
    """What limits the job's speed now, without the commands that a person with a page has not."""
    if view.job.status.ended:
        return ""
    if view.job.status == JobStatus.PAUSED:
        return f"paused: {advised(view.job.reason or 'on request')[0]}"
    if view.state is None:
        return NO_WORKER
    return nobody.partition(";")[0] or held_back_by(view)


def progress_routes(services: Services) -> APIRouter:
    routes = APIRouter(prefix="/api/jobs", tags=["jobs"], responses=PROBLEMS)
    known = SharedProgress(services)

    @routes.get("/{job}/progress")
    def progress(job: str, caller: Calling) -> dict[str, Any]:
        """Where a job stands: stages, what holds it back, cost so far, time left, and the tree as
        a string for each level, leaves first: a letter for each node (`w` waiting, `y` ready, `r`
        running, `d` done, `f` failed, `c` cancelled)."""
        return known.of(find_job(services.database, job, caller))

    @routes.get("/{job}/tree")
    def tree(job: str, caller: Calling) -> list[list[tuple[int, int]]]:
        """The first and the last image below each node, in the order of `levels` in the
        progress."""
        row = find_job(services.database, job, caller)
        with services.database.read() as connection:
            return inspect.spans(connection, row.id)

    return routes
