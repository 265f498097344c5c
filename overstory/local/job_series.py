"""Jobs one after the other over one stack, because starting one takes seconds.

The stack starts with the first job that has something to ask, so a series of jobs that have their
answers starts nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from rich.console import Console

from clients.proxies import proxy_for
from core.jobs import JobSpec
from core.settings import SANDBOX, Settings
from core.states import ANSWERED_JOBS
from models.engine import Database
from models.reads.pipeline import JobRow
from overstory.local.forks import begin
from overstory.local.home import prepare_command
from overstory.local.job_runner import (
    follow,
    job_row,
    open_stack,
    planning_services,
    send_webhooks,
    start_working,
    take_up,
    tidy_up,
)
from overstory.local.preflight import check_broker, check_sandbox_is_wanted, warn_of_sandbox
from overstory.local.signals import Interrupts, ends_cleanly
from overstory.local.stack import LocalStack
from tasks import submit as submitting
from tasks.runtime.services import Services
from workers.endpoints import database_url


@dataclass(slots=True)
class JobSeries:
    """What asks the jobs."""

    settings: Settings
    console: Console
    quiet: bool
    cleanup: contextlib.ExitStack
    interrupts: Interrupts = field(default_factory=Interrupts)
    planning: Services = field(init=False)
    _working: Services | None = None
    _stack: LocalStack | None = None
    _asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.planning = planning_services(self.settings)

    def is_interrupted(self) -> bool:
        """Whether a signal has come; then no further job is asked."""
        return self.interrupts.first.is_set()

    @property
    def database(self) -> Database:
        return Database(database_url(self.settings))

    def answered(self, spec: JobSpec) -> JobRow | None:
        """The job that ``spec`` is already, if it has its answers; else None. Plans nothing."""
        job_id = submitting.same_job(self.planning, spec)
        job = None if job_id is None else job_row(self.planning, job_id)
        return job if job is not None and job.status in ANSWERED_JOBS else None

    def ask(self, spec: JobSpec) -> JobRow:
        """Plan the job of ``spec`` or take it up again, and wait for its end or a signal.

        Raises WrongUsage for bad input and ServiceAway for a missing part, as ``run`` does.
        """
        job_id = submitting.submit(self.planning, spec, natural=True).job_id
        job = job_row(self.planning, job_id)
        if job.status in ANSWERED_JOBS or self.is_interrupted():
            return job
        self._asked.append(job_id)
        if self._working is None:
            services = self._open()
            take_up(services, job_id)  # its messages wait for the workers
            start_working(services, self._stack, self._asked, self.console, self.cleanup)
        else:
            services = self._working
            take_up(services, job_id)
        return follow(services, job_id, self.console, self.quiet, self.interrupts, self._stack)

    def _open(self) -> Services:
        if self.settings.endpoint == SANDBOX:
            warn_of_sandbox(self.console, self.settings.sandbox)
        if self.settings.broker_url is None:
            self._stack = LocalStack(self.settings, fork_server=begin(self.settings))
        self._working = open_stack(self.settings, self._stack, self.cleanup)
        return self._working

    def finish(self) -> None:
        """What follows the end of a job: webhooks, and no file left at the provider."""
        if self._working is not None and self._stack is not None:
            send_webhooks(self._working)
            tidy_up(self._working, self.interrupts.first)


@contextlib.contextmanager
def job_series(settings: Settings, console: Console, quiet: bool) -> Iterator[JobSeries]:
    """A series; what it has started ends with the block. The first Ctrl-C lets calls in flight
    finish, the second stops at once. Raises WrongUsage and ServiceAway as ``run`` does."""
    check_sandbox_is_wanted(settings)
    proxy_for(settings.base_url)  # a wrong one is refused before anything is started
    check_broker(settings, console)
    prepare_command(settings)
    with ends_cleanly(console) as ending, contextlib.ExitStack() as cleanup:
        series = JobSeries(settings, console, quiet, cleanup)
        cleanup.callback(ending.set)
        with series.interrupts.caught():
            yield series
            series.finish()
            cleanup.close()
