"""The main job: submit, bring up what is needed, watch until the end, stop what was started."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import structlog
from rich.console import Console

import migrations
from core.settings import SANDBOX, Settings
from core.spec import JobSpec
from core.states import JobStatus
from models import queries, repair, state
from models.queries import JobRow
from models.state import Moved
from overstory.embedded import Embedded, prepare_home
from overstory.progress import Display, counts_of, display
from tasks import submit as submitting
from tasks.maintenance import Reconciler
from tasks.pipeline import announce
from tasks.services import Services
from tasks.submit import Submitted
from workers.app import make_app
from workers.logs import configure_logs
from workers.services import build_services
from workers.stack import database_url

log = structlog.get_logger()

POLL_SECONDS = 0.1
"""One primary-key look-up this often, so that an answer is shown as soon as it is there."""
COUNT_SECONDS = 1.0
END_GRACE_SECONDS = 5.0


@dataclass(slots=True)
class Interrupts:
    """Ctrl-C, counted: the first asks to stop, the second insists."""

    count: int = 0
    first: threading.Event = field(default_factory=threading.Event)

    @contextlib.contextmanager
    def caught(self) -> Iterator[None]:
        def handle(number: int, frame: object) -> None:
            self.count += 1
            self.first.set()
            if self.count > 1:
                raise KeyboardInterrupt

        before = {
            number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@dataclass(frozen=True, slots=True)
class Ran:
    """How a run ended: the job as it stands, and whether somebody interrupted it."""

    job: JobRow
    interrupted: bool
    created: bool


def run(settings: Settings, spec: JobSpec, console: Console, quiet: bool) -> Ran:
    """Run ``spec`` to its end. Raises WrongUsage for bad input, ServiceAway for a missing part."""
    prepare_home(settings.home)
    log_file = (settings.home / "logs" / "command.log").open("a", encoding="utf-8")
    configure_logs(settings, log_file)  # stderr is for progress
    migrations.upgrade(database_url(settings))
    services = _planning_services(settings)
    submitted = submitting.submit(services, spec, natural=True)
    _say_ignored(console, submitted, quiet)
    job = _job(services, submitted.job_id)
    if job.status in (JobStatus.COMPLETED, JobStatus.PARTIAL):
        return Ran(job, interrupted=False, created=False)
    if settings.endpoint == SANDBOX:
        warn_of_sandbox(console)
    interrupts = Interrupts()
    with interrupts.caught():
        _serve(settings, submitted, console, quiet, interrupts)
    job = _job(services, submitted.job_id)
    services.database.dispose()
    return Ran(job, interrupted=not job.status.ended, created=submitted.created)


def warn_of_sandbox(console: Console) -> None:
    """Say loudly that no vision model is asked."""
    console.print(
        "[bold yellow]SANDBOX[/] No API key is set, so no vision model is asked. A local stand-in"
        " answers from the pixels: sizes, colours, brightness. Set OVERSTORY_API_KEY for real"
        " answers. Nothing is charged; costs shown are what the model would have cost.",
        soft_wrap=True,
    )


def _planning_services(settings: Settings) -> Services:
    """Services without a broker: enough to plan and to look, before anything is started."""
    services = build_services(settings, make_app(settings))
    services.send = lambda stage, **shown: None
    return services


def _say_ignored(console: Console, submitted: Submitted, quiet: bool) -> None:
    if submitted.ignored and not quiet:
        names = ", ".join(submitted.ignored[:3]) + (" ..." if len(submitted.ignored) > 3 else "")
        console.print(
            f"{len(submitted.ignored)} files in the folders are no images and were left out:"
            f" {names}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )


def _job(services: Services, job_id: str) -> JobRow:
    with services.database.read() as connection:
        job = queries.job(connection, job_id)
    assert job is not None, "a submitted job has a row"
    return job


def _serve(
    settings: Settings, submitted: Submitted, console: Console, quiet: bool, interrupts: Interrupts
) -> None:
    embedded = Embedded(settings) if settings.broker_url is None else None
    with contextlib.ExitStack() as stack, display(console, quiet) as shown:
        if embedded is not None:
            settings = embedded.start()
            stack.callback(embedded.stop)
            stack.callback(lambda: _stop_workers(embedded, services, submitted.job_id, console))
            embedded.start_workers()
        services = build_services(settings, make_app(settings))
        stack.callback(services.database.dispose)
        take_up(services, submitted)
        if embedded is not None:
            thread = threading.Thread(target=Reconciler(services).run, name="reconciler")
            thread.start()
            stack.callback(thread.join)
        stack.callback(services.stopping.set)
        watch(services, submitted.job_id, shown, interrupts.first, embedded)


def take_up(services: Services, submitted: Submitted) -> None:
    """Let this run's account serve the job, take it up again if it had ended or was paused, and
    send its first messages."""
    moved = Moved()
    with services.database.write() as connection:
        state.adopt(connection, submitted.job_id, services.account)
        status = queries.job_status(connection, submitted.job_id)
        if status == JobStatus.PAUSED:
            state.job_moved(connection, submitted.job_id, JobStatus.RUNNING)
        elif status in (JobStatus.FAILED, JobStatus.CANCELLED):
            repair.reopen(connection, submitted.job_id, moved)
        images = queries.unsettled(connection, submitted.job_id)
    submitting.start(services, submitted.job_id, images)
    announce(services, submitted.job_id, moved)


def watch(
    services: Services,
    job_id: str,
    shown: Display,
    stop: threading.Event,
    embedded: Embedded | None,
) -> None:
    """Show where the job stands until it ends or somebody asks to stop."""
    next_count = 0.0
    while not stop.is_set():
        with services.database.read() as connection:
            status = queries.job_status(connection, job_id)
            if time.monotonic() >= next_count:
                standing = queries.progress(connection, job_id)
                next_count = time.monotonic() + COUNT_SECONDS
                leaf_images = sum(n for s, n in standing.images.items() if s != "duplicate")
                note = "paused: no balance" if status == JobStatus.PAUSED else ""
                shown.show(counts_of(standing, leaf_images), note)
                if embedded is not None and embedded.revive():
                    log.warning("worker.revived", job=job_id)
        if status is None or status.ended:
            return
        stop.wait(POLL_SECONDS)


def _stop_workers(embedded: Embedded, services: Services, job_id: str, console: Console) -> None:
    ended = _job(services, job_id).status.ended
    grace = END_GRACE_SECONDS if ended else services.settings.soft_shutdown_seconds
    if not ended:
        console.print("stopping: calls in flight are finished; Ctrl-C again to stop at once")
    try:
        embedded.stop_workers(grace)
    except KeyboardInterrupt:
        embedded.stop_workers(0.0)
