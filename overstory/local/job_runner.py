"""The main job: submit, bring up what is needed, watch until the end, stop what was started."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

import structlog
from kombu.exceptions import KombuError
from rich.console import Console
from rich.panel import Panel

from clients.provider.reach import is_reached
from core.account.budget import is_spent
from core.errors import KeyRefused, OverstoryError, ProviderDown, ServiceAway, WrongUsage
from core.jobs import JobSpec
from core.settings import SANDBOX, Settings
from core.states import ANSWERED_JOBS, JobStatus
from models import repair, state
from models.reads import pipeline
from models.reads.pipeline import JobRow
from models.state import Moved
from overstory.local.forks import ForkServer, begin, may_trace
from overstory.local.home import prepare_command
from overstory.local.signals import Interrupts, ends_cleanly
from overstory.local.stack import LocalStack
from overstory.local.urls import wrong_password
from overstory.local.wait import watch
from overstory.output.plural import pluralize
from overstory.output.progress import display
from overstory.output.result import Ran
from tasks import submit as submitting
from tasks.file_store import tidy
from tasks.image_slices import announce
from tasks.runtime.services import Services
from tasks.submit import Submitted
from tasks.upkeep.reconciler import Reconciler
from tasks.upkeep.webhooks import notifier_of
from workers.app import make_app
from workers.services import build_services

log = structlog.get_logger()

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
) -> Ran:
    """Run ``spec`` to its end. Raises WrongUsage for bad input, ServiceAway for a missing part."""
    if settings.broker_url is not None and settings.uses_sandbox:
        raise WrongUsage(
            "OVERSTORY_BROKER_URL is set and no key: set OVERSTORY_API_KEY, or OVERSTORY_BASE_URL"
            " to an 'overstory sandbox' that your workers use too"
        )
    if settings.broker_url is not None:
        check_broker(settings)
    with ends_cleanly(console) as ending, contextlib.ExitStack() as stack:
        embedded = None
        if settings.broker_url is None:
            embedded = LocalStack(settings, fork_server=fork_server or begin(settings))
            stack.callback(embedded.stop)
            stack.callback(ending.set)
            embedded.begin()  # while the job is planned
        prepare_command(settings)
        services = planning_services(settings)
        submitted = submitting.submit(services, spec, natural=True)
        _say_ignored(console, submitted, quiet)
        job = job_row(services, submitted.job_id)
        if job.status in ANSWERED_JOBS:
            return Ran(job, interrupted=False)
        return serve(settings, submitted.job_id, console, quiet, on_end, embedded)


def serve(
    settings: Settings,
    job_id: str,
    console: Console,
    quiet: bool,
    on_end: OnEnd = nothing,
    embedded: LocalStack | None = None,
) -> Ran:
    """Bring up what is needed and stay with a job until it ends or somebody interrupts.

    ``on_end`` is called with the ended job before things are tidied up and stopped, so that an
    answer is not kept waiting for that. ``embedded``: a stack that was begun for it.
    """
    if settings.endpoint == SANDBOX:
        warn_of_sandbox(console)
    interrupts = Interrupts()
    with interrupts.caught():
        job = _serve(settings, job_id, console, quiet, interrupts, on_end, embedded)
    going_on = not (job.status.ended or is_spent(job.status, job.reason))
    return Ran(job, interrupted=going_on, signalled=interrupts.first.is_set())


def check_broker(settings: Settings) -> None:
    """Raises ServiceAway when nobody answers at the configured broker, WrongUsage when that is no
    address."""
    if wrong := wrong_password(settings.broker_url or ""):
        raise WrongUsage(f"OVERSTORY_BROKER_URL: {wrong}")
    try:
        with make_app(settings).connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, timeout=3)
    except (ValueError, LookupError, ImportError) as error:
        raise WrongUsage(f"OVERSTORY_BROKER_URL is no address of a broker: {error}") from None
    except (KombuError, OSError) as error:
        raise ServiceAway(
            f"the broker at OVERSTORY_BROKER_URL does not answer ({error}): start it, or unset the"
            " variable to run with an embedded one"
        ) from None


def warn_of_sandbox(console: Console) -> None:
    """Say loudly that no vision model is asked."""
    words = (
        "No API key is set, so no vision model is asked: a local stand-in answers from the pixels"
        " (sizes, colours, brightness). Set OVERSTORY_API_KEY for real answers. Nothing is charged;"
        " costs shown are what the model would have cost."
    )
    if console.is_terminal:
        console.print(Panel(words, title="SANDBOX", border_style="yellow", width=90))
    else:
        console.print(f"SANDBOX: {words}", soft_wrap=True, highlight=False)


def planning_services(settings: Settings) -> Services:
    """Services without a broker: enough to plan and to look, before anything is started."""
    services = build_services(settings, make_app(settings))
    services.send = lambda stage, **shown: None
    return services


def _say_ignored(console: Console, submitted: Submitted, quiet: bool) -> None:
    if submitted.ignored and not quiet:
        files = pluralize(len(submitted.ignored), "file")
        names = ", ".join(submitted.ignored[:3]) + (" ..." if len(submitted.ignored) > 3 else "")
        console.print(
            f"skipped {files} that are not images ({names})",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )


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
    embedded: LocalStack | None,
) -> JobRow:
    if embedded is None and settings.broker_url is None:
        embedded = LocalStack(settings, fork_server=begin(settings))
    with contextlib.ExitStack() as stack:
        if embedded is not None:
            stack.callback(embedded.stop)
            settings = embedded.start()
        services = build_services(settings, make_app(settings))
        stack.callback(services.close)
        take_up(services, job_id)  # its messages wait for the workers
        if embedded is not None:
            stack.callback(lambda: _stop_workers(embedded, services, job_id, console))
            embedded.start_workers()
            thread = threading.Thread(target=Reconciler(services).run, name="reconciler")
            thread.start()
            stack.callback(thread.join)
            if (notifier := notifier_of(services)) is not None:
                stack.callback(notifier.start().join, END_GRACE_SECONDS)
        stack.callback(services.stopping.set)
        preflight(services, job_id)
        with display(console, quiet) as shown:
            watch(services, job_id, shown, interrupts.first, embedded)
        job = job_row(services, job_id)
        if is_spent(job.status, job.reason):
            on_end(job)
        if job.status.ended:
            on_end(job)
            if embedded is not None:
                tell(services)
                tidy_up(services, interrupts.first)
        return job


def tidy_up(services: Services, stop: threading.Event) -> None:
    """Delete what ended jobs left at the provider; what is not deleted now is deleted later."""
    if services.settings.endpoint == SANDBOX:
        return  # its files go with it
    with contextlib.suppress(OverstoryError):
        while not stop.is_set() and tidy(services):
            pass


def tell(services: Services) -> None:
    """Tell whoever asked to be told of the end; who cannot be reached now is told by the next run
    or service of this home."""
    notifier = notifier_of(services)
    if notifier is not None:
        with contextlib.suppress(OverstoryError):
            notifier.tick()


def take_up(services: Services, job_id: str) -> None:
    """Let this run's account serve the job, take it up again if it had ended or was paused, and
    send its first messages."""
    moved = Moved()
    with services.database.write() as connection:
        state.adopt(connection, job_id, services.account)
        status = pipeline.job_status(connection, job_id)
        if status == JobStatus.PAUSED:
            state.job_moved(connection, job_id, JobStatus.RUNNING)
        elif status in (JobStatus.FAILED, JobStatus.CANCELLED):
            repair.reopen(connection, job_id, moved)
        images = pipeline.unsettled(connection, job_id)
    submitting.start(services, job_id, images)
    announce(services, job_id, moved)


def preflight(services: Services, job_id: str) -> None:
    """See that the endpoint can be reached while the workers start. Where it seems not, it is asked
    for its models: one that cannot be reached raises ServiceAway, a key it refuses ends the job.
    Anything else is found out by the first upload or call.
    """
    if is_reached(services.settings.base_url):
        return
    try:
        services.provider.models()
    except KeyRefused as error:
        with services.database.write() as connection:
            state.job_failed(connection, job_id, str(error), Moved())
    except ProviderDown as error:
        if not error.sent:
            raise ServiceAway(
                f"the endpoint {services.settings.base_url} cannot be reached ({error}): check"
                " OVERSTORY_BASE_URL and the network; the same command continues the job"
            ) from None
    except OverstoryError as error:
        log.info("preflight", error=str(error))


def _stop_workers(embedded: LocalStack, services: Services, job_id: str, console: Console) -> None:
    with services.database.read() as connection:
        calls = pipeline.calls_in_flight(connection, job_id)
        idle = not pipeline.anyone_prepares(connection) and not may_trace(services.settings)
    grace = services.settings.soft_shutdown_seconds if calls else END_GRACE_SECONDS
    if calls:
        console.print("stopping: calls in flight are finished; Ctrl-C again to stop at once")
    try:
        if idle:  # a pool takes two seconds to end in good order, and there is nothing to put in it
            embedded.end_workers("preprocess")
        embedded.stop_workers(grace)
    except KeyboardInterrupt:
        embedded.stop_workers(0.0)
