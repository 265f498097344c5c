"""``overstory cancel | pause | resume | retry``: a job's course, changed by a person.

Workers claim only what belongs to a running job, so a change takes effect with the next claim.
Calls in flight end and are kept in the ledger.
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
from overstory.job_argument import find_job, home_option
from overstory.local.job_runner import serve
from overstory.output.plural import pluralize
from overstory.output.summary import Showing
from tasks.calls.budget import check_budget

BY_REQUEST = "on request"


@click.command()
@click.argument("job")
@home_option
def cancel(job: str, home: Path | None) -> None:
    """End a job; what is not answered yet is skipped."""
    _, database, row = find_job(job, home)
    with database.write() as connection:
        took = state.job_cancelled(connection, row.id, Moved())
    click.echo(f"job {row.id} {'cancelled' if took else f'had ended already: {row.status}'}")


@click.command()
@click.argument("job")
@home_option
def pause(job: str, home: Path | None) -> None:
    """Hold a job; ``overstory resume`` lets it go on."""
    _, database, row = find_job(job, home)
    with database.write() as connection:
        took = state.job_moved(connection, row.id, JobStatus.PAUSED, BY_REQUEST)
    click.echo(f"job {row.id} {'paused' if took else f'is {row.status}: nothing to pause'}")


@click.command()
@click.argument("job")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
@click.option("--quiet", "-q", is_flag=True, help="No progress on stderr.")
@click.option(
    "--budget",
    type=click.FloatRange(0, min_open=True),
    help="The most it may cost from its beginning to its end; takes the old one's place.",
)
@home_option
def resume(job: str, as_json: bool, quiet: bool, budget: float | None, home: Path | None) -> None:
    """Let a paused or interrupted job go on, and stay with it to its end."""
    settings, database, row = find_job(job, home)
    if row.status == JobStatus.COMPLETED:
        raise WrongUsage(f"job {row.id} is completed: there is nothing to resume")
    if row.status.ended:
        raise WrongUsage(f"job {row.id} has ended ({row.status}): use 'overstory retry {row.id}'")
    check_budget(settings, row.model, budget)
    if budget is not None:
        with database.write() as connection:
            state.job_budgeted(connection, row.id, budget)
    stay(settings, row, as_json, quiet)


@click.command()
@click.argument("job")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
@click.option("--quiet", "-q", is_flag=True, help="No progress on stderr.")
@home_option
def retry(job: str, as_json: bool, quiet: bool, home: Path | None) -> None:
    """Try a job's failed and skipped images again, and everything above them in the tree."""
    settings, database, row = find_job(job, home)
    if row.status == JobStatus.COMPLETED:
        click.echo(f"job {row.id} is completed: nothing failed")
        return
    if row.status.ended:
        with database.write() as connection:
            again = repair.reopen(connection, row.id, Moved())
        Console(stderr=True).print(f"trying {pluralize(again, 'image')} again", highlight=False)
    stay(settings, row, as_json, quiet)


def stay(settings: Settings, row: JobRow, as_json: bool, quiet: bool) -> None:
    """Serve a job to its end and print it."""
    console = Console(stderr=True)
    showing = Showing(console, settings, as_json)
    showing.finish(serve(settings, row.id, console, quiet, showing))
