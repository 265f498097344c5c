"""``overstory ask | add | remove``: continue from a job that has an answer."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click
from rich.console import Console

from core.errors import WrongUsage
from core.settings import SANDBOX, Settings
from core.states import ANSWERED_JOBS
from core.text.citations import cited_numbers
from models.engine import Database
from models.reads import lineage, pipeline
from models.reads.pipeline import JobRow
from overstory.job_argument import find_job, job_argument
from overstory.local.job_runner import OnEnd, nothing, planning_services, serve
from overstory.local.preflight import check_sandbox_is_wanted
from overstory.local.price import holds_new_jobs, say_price
from overstory.options import (
    budget_option,
    home_option,
    image_column_option,
    json_option,
    pack_option,
    quiet_option,
    sandbox_option,
    yes_option,
)
from overstory.output.left_out import print_left_out
from overstory.output.result import Ran
from overstory.output.summary import Showing
from overstory.output.terminal import print_plain
from tasks import followups
from tasks.runtime.services import Services
from tasks.submit import Submitted


@click.command()
@job_argument
@click.argument("question")
@click.option("--look", is_flag=True, help="Send the leaves of the cited images again.")
@pack_option
@budget_option
@yes_option
@json_option
@quiet_option
@sandbox_option
@home_option
def ask(
    job: str,
    question: str,
    look: bool,
    pack: int | None,
    budget: float | None,
    yes: bool,
    as_json: bool,
    quiet: bool,
    sandbox: bool,
    home: Path | None,
) -> None:
    """Ask a further question about a job's images.

    If the set fits one request, the images are sent again as one conversation, which the
    provider's cache makes cheaper. For a larger set the model reads its notes; with --look it also
    sees the images that they cite. The expected cost is shown first. A budget limits each of its
    jobs; without one, the budget of JOB counts. Answers are stored: the same question again costs
    nothing.
    """
    settings, database, row = _base(job, home, sandbox)
    services = _services(settings)
    console = Console(stderr=True)
    turn = followups.ask(services, row.id, question, budget=budget, pack=pack)
    if look and not _looks(database, turn, followups.base_of(services, row.id)):
        notes = _finished(settings, database, turn, console, quiet, yes)
        turn = _look_again(services, row.id, question, notes, console, budget, pack)
    _show(settings, database, turn, console, as_json, quiet, yes)


@click.command()
@job_argument
@click.argument("inputs", nargs=-1, required=True, metavar="PATH_OR_URL...")
@image_column_option
@budget_option
@yes_option
@json_option
@quiet_option
@sandbox_option
@home_option
def add(
    job: str,
    inputs: tuple[str, ...],
    image_column: str | None,
    budget: float | None,
    yes: bool,
    as_json: bool,
    quiet: bool,
    sandbox: bool,
    home: Path | None,
) -> None:
    """Add images to a job's set, as a new job.

    Only the leaves with new images and the summaries above them are asked again. The earlier job
    stays as it is. The next 'add' extends the newest job, whichever of them is named.
    """
    settings, database, row = _base(job, home, sandbox)
    console = Console(stderr=True)
    submitted = followups.add(_services(settings), row.id, list(inputs), budget, image_column)
    if not quiet:
        print_left_out(console, submitted.ignored, submitted.passed_over)
    _show(settings, database, submitted, console, as_json, quiet, yes)


@click.command()
@job_argument
@click.argument("positions", nargs=-1, required=True, metavar="POSITION...")
@budget_option
@yes_option
@json_option
@quiet_option
@sandbox_option
@home_option
def remove(
    job: str,
    positions: tuple[str, ...],
    budget: float | None,
    yes: bool,
    as_json: bool,
    quiet: bool,
    sandbox: bool,
    home: Path | None,
) -> None:
    """Remove images from a job's set, as a new job.

    POSITION is a number or a range, like 17 or 20-25. Only the leaves that held these images, and
    the summaries above them, are asked again. If a newer job continues this one, the command names
    it and does nothing, because its positions may differ.
    """
    settings, database, row = _base(job, home, sandbox)
    console = Console(stderr=True)
    left_out = set(_numbers(positions))
    submitted = followups.remove(_services(settings), row.id, left_out, budget)
    _show(settings, database, submitted, console, as_json, quiet, yes)


def _base(job: str, home: Path | None, sandbox: bool) -> tuple[Settings, Database, JobRow]:
    """The job to continue. Raises WrongUsage if there is none, or if nothing may answer here."""
    settings, database, row = find_job(job, home, sandbox)
    check_sandbox_is_wanted(settings)
    return settings, database, row


def _services(settings: Settings) -> Services:
    """Services that plan a job, which begins when its price was said."""
    services = planning_services(settings)
    services.holds_new_jobs = holds_new_jobs(settings)
    return services


def _numbers(texts: Iterable[str]) -> Iterable[int]:
    for text in texts:
        first, dash, last = text.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise WrongUsage(f"{text!r} is not a position: write one like 17 or 20-25")
        yield from range(int(first), int(last or first) + 1)


def _looks(database: Database, turn: Submitted, base: str) -> bool:
    """Whether a turn sends images: it sent some when it was asked before, or all images of ``base``
    fit one request."""
    if followups.looked_at(_row(database, turn.job_id)):
        return True
    with database.read() as connection:
        ground = lineage.earlier(connection, base)
    return ground is not None and followups.fits_one_request(ground)


def _look_again(
    services: Services,
    job_id: str,
    question: str,
    notes: JobRow,
    console: Console,
    budget: float | None,
    pack: int | None,
) -> Submitted:
    """A turn with the images that the answer from the notes cites; all images if it cites none."""
    with services.database.read() as connection:
        cited = cited_numbers(pipeline.root_text(connection, notes.id) or "")
        every = range(1, notes.submitted + 1)
    if not cited:
        print_plain(console, "the notes cite no image: sending all images")
    look = frozenset(cited or every)
    return followups.ask(services, job_id, question, look, notes.id, budget, pack)


def _finished(
    settings: Settings,
    database: Database,
    submitted: Submitted,
    console: Console,
    quiet: bool,
    yes: bool,
) -> JobRow:
    job = _row(database, submitted.job_id)
    if job.status.ended:
        return job
    ran = _serve(settings, database, job, console, quiet, yes)
    if ran.interrupted or ran.job.status not in ANSWERED_JOBS:
        Showing(console, settings, as_json=False).finish(ran)
    return ran.job


def _show(
    settings: Settings,
    database: Database,
    submitted: Submitted,
    console: Console,
    as_json: bool,
    quiet: bool,
    yes: bool,
) -> None:
    job = _row(database, submitted.job_id)
    showing = Showing(console, settings, as_json)
    if job.status.ended:
        showing.settled(job)
    showing.finish(_serve(settings, database, job, console, quiet, yes, showing))


def _serve(
    settings: Settings,
    database: Database,
    job: JobRow,
    console: Console,
    quiet: bool,
    yes: bool,
    on_end: OnEnd = nothing,
) -> Ran:
    if settings.endpoint == SANDBOX and not quiet:  # elsewhere, serving begins with the price
        say_price(settings, database, job, console, quiet)
    return serve(settings, job.id, console, quiet, on_end, yes=yes)


def _row(database: Database, job_id: str) -> JobRow:
    with database.read() as connection:
        job = pipeline.job(connection, job_id)
    assert job is not None, "a submitted job has a row"
    return job
