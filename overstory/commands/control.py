"""``overstory cancel | pause | resume | retry``: change the status of a job.

Workers claim only work of running jobs, so a change takes effect with the next claim. Calls in
flight finish and are recorded in the ledger.
"""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from core.errors import WrongUsage
from core.settings import Settings
from core.states import JobStatus
from models import repair, state
from models.reads.pipeline import JobRow
from models.state import Moved
from overstory.job_argument import find_job, job_argument
from overstory.local.job_runner import serve
from overstory.local.preflight import check_sandbox_is_wanted
from overstory.local.price import holds_new_jobs
from overstory.options import (
    home_option,
    json_option,
    quiet_option,
    sandbox_option,
    yes_option,
)
from overstory.output.plural import pluralize
from overstory.output.summary import Showing
from tasks.calls.budget import check_budget

BY_REQUEST = "on request"


@click.command()
@job_argument
@home_option
def cancel(job: str, home: Path | None) -> None:
    """End a job. Images without an answer are skipped."""
    _, database, row = find_job(job, home)
    with database.write() as connection:
        changed = state.job_cancelled(connection, row.id, Moved())
    click.echo(f"job {row.id} {'cancelled' if changed else f'had ended already: {row.status}'}")


@click.command()
@job_argument
@home_option
def pause(job: str, home: Path | None) -> None:
    """Pause a job. 'overstory resume' continues it."""
    _, database, row = find_job(job, home)
    with database.write() as connection:
        changed = state.job_moved(connection, row.id, JobStatus.PAUSED, BY_REQUEST)
    click.echo(f"job {row.id} {'paused' if changed else f'is {row.status}: nothing to pause'}")


@click.command()
@job_argument
@yes_option
@json_option
@quiet_option
@click.option(
    "--budget",
    type=click.FloatRange(0, min_open=True),
    help="New limit for the job's total cost, in the account's currency.",
)
@sandbox_option
@home_option
def resume(
    job: str,
    yes: bool,
    as_json: bool,
    quiet: bool,
    budget: float | None,
    sandbox: bool,
    home: Path | None,
) -> None:
    """Continue a paused or interrupted job and wait for its end."""
    settings, database, row = find_job(job, home, sandbox)
    if row.status == JobStatus.COMPLETED:
        raise WrongUsage(f"job {row.id} is completed: there is nothing to resume")
    if row.status.ended:
        raise WrongUsage(f"job {row.id} has ended ({row.status}): use 'overstory retry {row.id}'")
    check_sandbox_is_wanted(settings)
    check_budget(settings, budget, row.model, row.options.second_model)
    if budget is not None:
        with database.write() as connection:
            state.job_budgeted(connection, row.id, budget)
    stay(settings, row, as_json, quiet, yes)


@click.command()
@job_argument
@yes_option
@json_option
@quiet_option
@sandbox_option
@home_option
def retry(
    job: str, yes: bool, as_json: bool, quiet: bool, sandbox: bool, home: Path | None
) -> None:
    """Try a job's failed and skipped images again.

    The summaries above these images are written again too.
    """
    settings, database, row = find_job(job, home, sandbox)
    if row.status == JobStatus.COMPLETED:
        click.echo(f"job {row.id} is completed: nothing failed")
        return
    check_sandbox_is_wanted(settings)
    if row.status.ended:
        with database.write() as connection:
            reopened = repair.reopen(connection, row.id, Moved())
            if (why := holds_new_jobs(settings)) is not None:
                state.job_moved(connection, row.id, JobStatus.PAUSED, why)
        click.echo(f"trying {pluralize(reopened, 'image')} again", err=True)
    stay(settings, row, as_json, quiet, yes)


def stay(settings: Settings, row: JobRow, as_json: bool, quiet: bool, yes: bool) -> None:
    """Serve a job to its end and print its result."""
    console = Console(stderr=True)
    showing = Showing(console, settings, as_json)
    showing.finish(serve(settings, row.id, console, quiet, showing, yes=yes))
