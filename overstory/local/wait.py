"""Wait for a job and show its progress until it ends."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

import structlog

from core.errors import DatabaseUnusable, ServiceAway
from core.states import JobStatus
from core.text.printable import shortened
from models.engine import Connection
from models.reads import pipeline
from models.reads.standings import is_over
from overstory.local.stack import LocalStack
from overstory.output.held_by import account_state, comparing, held_by, held_by_store
from overstory.output.learned import settled_limits
from overstory.output.progress import Display, counts_of
from tasks.runtime.services import Services

log = structlog.get_logger()

POLL_SECONDS, FAR_SECONDS = 0.1, 0.5
"""Seconds between checks (one primary-key look-up each): short, so that an answer is shown at once;
longer while the answer is far."""
FAR_IMAGES = 300
"""The answer is far while more images than this are in unanswered leaves."""
COUNT_SECONDS = 1.0
SELDOM = 20
"""Counting a million images takes a good part of a second: it is then done for a twentieth of the
time at most."""
NOTE_SHOWN = 200
"""Characters of what an endpoint says beside the progress."""


def watch(
    services: Services,
    job_id: str,
    shown: Display,
    stop: threading.Event,
    stack: LocalStack | None,
) -> None:
    """Show the job's progress until it ends or ``stop`` is set."""
    next_count, pause = 0.0, POLL_SECONDS
    while not stop.is_set():
        began = time.monotonic()
        counting = began >= next_count
        try:
            view = check(services, job_id, shown, counting)
            if view.is_over:
                return
            if view.unanswered is not None:
                pause = FAR_SECONDS if view.unanswered > FAR_IMAGES else POLL_SECONDS
        except DatabaseUnusable:
            raise
        except ServiceAway as error:  # the workers wait for the service, too
            log.warning("watch.waits", error=str(error))
            shown.wait(f"waiting: {' '.join(str(error).split())}")
        if counting:
            took = time.monotonic() - began
            next_count = time.monotonic() + max(COUNT_SECONDS, SELDOM * took)
            if stack is not None and stack.revive():
                log.warning("stack.revived", job=job_id)
        stop.wait(pause)


@dataclass(frozen=True, slots=True)
class View:
    """``is_over``: the job has ended, or is paused for its budget with nothing in flight.
    ``unanswered``: images without an answered leaf; None if they were not counted."""

    is_over: bool
    unanswered: int | None


def check(services: Services, job_id: str, shown: Display, counting: bool) -> View:
    """Whether the job is over; ``counting``: also count its images and show the progress."""
    unanswered = None
    with services.database.read() as connection:
        row = pipeline.job_standing(connection, job_id)
        assert row is not None, "a submitted job has a row"
        status, reason = row
        if counting:
            standing = pipeline.progress(connection, job_id)
            leaf_images = sum(n for s, n in standing.images.items() if s != "duplicate")
            paused = f"paused: {reason}" if status == JobStatus.PAUSED else ""
            note = paused or _trouble(connection, job_id) or held_by(account_state(services))
            note = note or held_by_store(pipeline.upload_waits_for(connection, job_id))
            counts = counts_of(standing, leaf_images)
            job = pipeline.job(connection, job_id)
            if job is not None and job.comparing:
                note = note or comparing(standing.images)
            shown.show(counts, shortened(note, NOTE_SHOWN))
            shown.report(settled_limits(connection, job) if job is not None else ())
            unanswered = counts.total[2] - counts.done[2]
        over = is_over(connection, job_id, status, reason)
    return View(over, unanswered)


def _trouble(connection: Connection, job_id: str) -> str:
    """A short note about what is tried again."""
    trouble = pipeline.trouble(connection, job_id)
    return f"tried again: {trouble}" if trouble else ""
