"""Run a job in the foreground: submit it, start what it needs, wait for its end, clean up."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence

from rich.console import Console

from clients.proxies import proxy_for
from core.account.budget import Watch, is_spent
from core.errors import OverstoryError
from core.jobs import JobSpec
from core.settings import SANDBOX, Settings
from core.stages import PREPROCESS
from core.states import ANSWERED_JOBS, JobStatus
from models import repair, state
from models.engine import Database
from models.reads import pipeline
from models.reads.pipeline import JobRow
from models.state import Moved
from overstory.local.forks import ForkServer, begin, may_trace
from overstory.local.hindrances import Hindered, Hindrances, nobody_works
from overstory.local.home import prepare_command
from overstory.local.preflight import (
    check_broker,
    check_endpoint,
    check_sandbox_is_wanted,
    warn_of_sandbox,
    with_served_model,
)
from overstory.local.price import agree, holds_new_jobs
from overstory.local.signals import Interrupts, ends_cleanly
from overstory.local.stack import LocalStack
from overstory.local.wait import watch
from overstory.output.left_out import print_left_out
from overstory.output.plural import pluralize
from overstory.output.progress import Display, display
from overstory.output.result import Ran
from overstory.output.terminal import print_plain
from tasks import submit as submitting
from tasks.account import NO_BALANCE
from tasks.file_store import tidy
from tasks.image_slices import announce
from tasks.runtime.services import Services
from tasks.upkeep.reconciler import Reconciler
from tasks.upkeep.webhooks import notifier_of
from workers.app import make_app
from workers.endpoints import database_url
from workers.services import build_services

END_GRACE_SECONDS = 5.0
OnEnd = Callable[[JobRow], None]


def nothing(job: JobRow) -> None:
    return None


def run(
    settings: Settings,
    spec: JobSpec,
    console: Console,
    quiet: bool,
    on_end: OnEnd = nothing,
    fork_server: ForkServer | None = None,
    yes: bool = False,
    watch: Watch | None = None,
) -> Ran:
    """Run ``spec`` to its end. ``yes``: whatever it costs. ``watch``: what it is asked for. Raises
    WrongUsage for bad input, ServiceAway for a missing part."""
    check_sandbox_is_wanted(settings)
    proxy_for(settings.base_url)  # a wrong one is refused before anything is started
    check_broker(settings, console)
    with ends_cleanly(console) as ending, contextlib.ExitStack() as cleanup:
        stack = None
        if settings.broker_url is None:
            stack = LocalStack(settings, fork_server=fork_server or begin(settings))
            cleanup.callback(stack.stop)
            cleanup.callback(ending.set)
            stack.begin()  # while the job is planned
        prepare_command(settings)
        if spec.model is None:
            settings = with_served_model(settings, console)
        services = planning_services(settings)
        services.holds_new_jobs = holds_new_jobs(settings)

        def tell(urls: int) -> None:
            if not quiet:
                print_plain(console, f"looking into {pluralize(urls, 'URL or document')}")

        submitted = submitting.submit(services, spec, natural=True, tell=tell, watch=watch)
        if not quiet:
            print_left_out(console, submitted.ignored, submitted.passed_over)
        job = job_row(services, submitted.job_id)
        if job.status in ANSWERED_JOBS:
            return Ran(job, interrupted=False)
        return serve(settings, submitted.job_id, console, quiet, on_end, stack, yes)


def serve(
    settings: Settings,
    job_id: str,
    console: Console,
    quiet: bool,
    on_end: OnEnd = nothing,
    stack: LocalStack | None = None,
    yes: bool = False,
) -> Ran:
    """Say what a job will cost, start what is needed, and wait until it ends or a signal
    interrupts. ``yes``: a person has agreed to any price. Raises click's Abort if one does not.

    ``on_end`` is called with the ended job before anything is cleaned up or stopped, so that the
    answer is shown at once. ``stack``: an embedded stack that was already begun for the job.
    """
    check_sandbox_is_wanted(settings)
    proxy_for(settings.base_url)
    if stack is None:
        check_broker(settings, console)
    if settings.endpoint == SANDBOX:
        warn_of_sandbox(console, settings.sandbox)
    else:
        agree(settings, Database(database_url(settings)), job_id, console, quiet, yes)
    interrupts = Interrupts()
    with interrupts.caught():
        job = _serve(settings, job_id, console, quiet, interrupts, on_end, stack)
    going_on = not (job.status.ended or is_spent(job.status, job.reason))
    waits = nobody_works(settings) if job.status == JobStatus.RUNNING else ""
    return Ran(job, interrupted=going_on, signalled=interrupts.first.is_set(), waits=waits)


def planning_services(settings: Settings) -> Services:
    """Services without a broker: enough to plan and to read, before anything is started."""
    services = build_services(settings, make_app(settings), patient=False)
    services.send = lambda stage, **shown: None
    return services


def job_row(services: Services, job_id: str) -> JobRow:
    with services.database.read() as connection:
        job = pipeline.job(connection, job_id)
    assert job is not None, "a submitted job has a row"
    return job


def _serve(
    settings: Settings,
    job_id: str,
    console: Console,
    quiet: bool,
    interrupts: Interrupts,
    on_end: OnEnd,
    stack: LocalStack | None,
) -> JobRow:
    if stack is None and settings.broker_url is None:
        stack = LocalStack(settings, fork_server=begin(settings))
    with contextlib.ExitStack() as cleanup:
        services = open_stack(settings, stack, cleanup)
        take_up(services, job_id)  # its messages wait for the workers
        start_working(services, stack, [job_id], console, cleanup)
        job = follow(services, job_id, console, quiet, interrupts, stack)
        if is_spent(job.status, job.reason):
            on_end(job)
        if job.status.ended:
            on_end(job)
            if stack is not None:
                send_webhooks(services)
                tidy_up(services, interrupts.first)
        return job


def open_stack(
    settings: Settings, stack: LocalStack | None, cleanup: contextlib.ExitStack
) -> Services:
    """Start the shared parts of ``stack``, if there is one, and connect to them."""
    if stack is not None:
        cleanup.callback(stack.stop)
        settings = stack.start()
    services = build_services(settings, make_app(settings))
    cleanup.callback(services.close)
    return services


def start_working(
    services: Services,
    stack: LocalStack | None,
    jobs: Sequence[str],
    console: Console,
    cleanup: contextlib.ExitStack,
) -> None:
    """Start the workers of ``stack`` and what belongs to them. ``jobs``: those whose calls in
    flight are finished when ``cleanup`` stops the workers."""
    if stack is not None:
        cleanup.callback(lambda: _stop_workers(stack, services, jobs, console))
        stack.start_workers()
        thread = threading.Thread(target=Reconciler(services).run, name="reconciler")
        thread.start()
        cleanup.callback(thread.join)
        if (notifier := notifier_of(services)) is not None:
            cleanup.callback(notifier.start().join, END_GRACE_SECONDS)
    cleanup.callback(services.stopping.set)


def follow(
    services: Services,
    job_id: str,
    console: Console,
    quiet: bool,
    interrupts: Interrupts,
    stack: LocalStack | None,
) -> JobRow:
    """Show the job's progress until it ends or a signal interrupts; returns it as it is then."""
    check_endpoint(services, job_id)
    with hindered(services.settings, display(console, quiet), stack) as shown:
        watch(services, job_id, shown, interrupts.first, stack)
    return job_row(services, job_id)


def hindered(settings: Settings, shown: Display, stack: LocalStack | None) -> Display:
    """``shown`` with what of broker and workers keeps the job from going on."""

    def works_here() -> bool:
        return stack is not None and bool(stack.workers)

    return Hindered(shown, Hindrances(settings, works_here))


def tidy_up(services: Services, stop: threading.Event) -> None:
    """Delete what ended jobs left at the provider. A later run deletes what is not deleted now."""
    if services.settings.endpoint == SANDBOX:
        return  # its files end with it
    with contextlib.suppress(OverstoryError):
        while not stop.is_set() and tidy(services):
            pass


def send_webhooks(services: Services) -> None:
    """Send the webhooks that are due. The next run or service of this home retries failed ones."""
    notifier = notifier_of(services)
    if notifier is not None:
        with contextlib.suppress(OverstoryError):
            notifier.tick()
            notifier.finish()


def take_up(services: Services, job_id: str) -> None:
    """Assign the job to this run's account, reopen it if it had ended or was paused, and send its
    first messages."""
    moved = Moved()
    with services.database.write() as connection:
        state.adopt(connection, job_id, services.account)
        status, reason = pipeline.job_standing(connection, job_id) or (None, None)
        if status == JobStatus.PAUSED:
            state.job_moved(connection, job_id, JobStatus.RUNNING)
        elif status in (JobStatus.FAILED, JobStatus.CANCELLED):
            repair.reopen(connection, job_id, moved)
        images = pipeline.unsettled(connection, job_id)
    if (reason or "").startswith(NO_BALANCE):
        services.limiter.resume()  # a person says that there is money again
    submitting.start(services, job_id, images)
    announce(services, job_id, moved)


def _stop_workers(
    stack: LocalStack, services: Services, jobs: Sequence[str], console: Console
) -> None:
    with services.database.read() as connection:
        calls = any(pipeline.calls_in_flight(connection, job_id) for job_id in jobs)
        idle = not pipeline.anyone_prepares(connection) and not may_trace(services.settings)
    grace = services.settings.soft_shutdown_seconds if calls else END_GRACE_SECONDS
    if calls:
        console.print("stopping: calls in flight are finished; Ctrl-C again to stop at once")
    try:
        if idle:  # a pool takes two seconds to shut down, and this one has no work
            stack.end_workers(PREPROCESS.name)
        stack.stop_workers(grace)
    except KeyboardInterrupt:
        stack.stop_workers(0.0)
