"""``overstory ask | add | remove``: going on from a job that has an answer."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click
from rich.console import Console

from core.account.estimate import ahead, habit_of
from core.errors import WrongUsage
from core.requests.request import repeated_text
from core.settings import Settings
from core.states import ANSWERED_JOBS
from core.text.citations import cited_numbers
from models.engine import Database
from models.reads import inspect, lineage, pipeline
from models.reads.pipeline import JobRow
from overstory.job_argument import find_job, home_option, job_argument
from overstory.local.job_runner import planning_services, serve
from overstory.output.plural import pluralize
from overstory.output.summary import Showing
from tasks import followups
from tasks.runtime.services import Services
from tasks.submit import Submitted

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
quiet_option = click.option("--quiet", "-q", is_flag=True, help="No progress on stderr.")


@click.command()
@job_argument
@click.argument("question")
@click.option("--look", is_flag=True, help="Look again at the images the notes point to.")
@json_option
@quiet_option
@home_option
def ask(job: str, question: str, look: bool, as_json: bool, quiet: bool, home: Path | None) -> None:
    """Ask a further question about a job's images.

    A set that fits one request is shown again, as one conversation: the provider's cache knows the
    images. Of a larger set the notes are read; with --look the leaves that they point to are
    looked at again. What it will take is said first. Every turn is stored, and asked once.
    """
    settings, database, row = find_job(job, home)
    services = planning_services(settings)
    console = Console(stderr=True)
    turn = followups.ask(services, row.id, question)
    if look and not _looks(database, turn, followups.base_of(services, row.id)):
        notes = _finished(settings, database, turn, console, quiet)
        turn = _look_again(services, row.id, question, notes, console)
    _show(settings, database, turn, console, as_json, quiet)


@click.command()
@job_argument
@click.argument("inputs", nargs=-1, required=True, metavar="PATH_OR_URL...")
@json_option
@quiet_option
@home_option
def add(job: str, inputs: tuple[str, ...], as_json: bool, quiet: bool, home: Path | None) -> None:
    """Add images to a job's set: only their leaf and what is above it are asked again.

    The earlier job stays as it is; the new one follows it and is added to the next time.
    """
    settings, database, row = find_job(job, home)
    console = Console(stderr=True)
    made = followups.add(planning_services(settings), row.id, list(inputs))
    _show(settings, database, made, console, as_json, quiet)


@click.command()
@job_argument
@click.argument("positions", nargs=-1, required=True, metavar="POSITION...")
@json_option
@quiet_option
@home_option
def remove(
    job: str, positions: tuple[str, ...], as_json: bool, quiet: bool, home: Path | None
) -> None:
    """Take images out of a job's set, by position or range: 17 20-25.

    A job that has been continued is refused, and the newest of its line named: positions may
    differ. Only their leaves and what is above them are asked again.
    """
    settings, database, row = find_job(job, home)
    console = Console(stderr=True)
    made = followups.remove(planning_services(settings), row.id, set(_numbers(positions)))
    _show(settings, database, made, console, as_json, quiet)


def _numbers(texts: Iterable[str]) -> Iterable[int]:
    for text in texts:
        first, dash, last = text.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise WrongUsage(f"{text!r} is no position: say 17 or 20-25")
        yield from range(int(first), int(last or first) + 1)


def _looks(database: Database, turn: Submitted, base: str) -> bool:
    """Whether a turn shows the model images: it looked when it was asked before, or all images of
    ``base`` fit one request."""
    if followups.looked_at(_row(database, turn.job_id)):
        return True
    with database.read() as connection:
        ground = lineage.earlier(connection, base)
    return ground is not None and followups.fits_one_request(ground)


def _look_again(
    services: Services, job_id: str, question: str, notes: JobRow, console: Console
) -> Submitted:
    """The turn that looks at what the answer from the notes cites; at all where it cites none."""
    with services.database.read() as connection:
        cited = cited_numbers(pipeline.root_text(connection, notes.id) or "")
        every = range(1, notes.submitted + 1)
    if not cited:
        console.print("the notes point to no image: looking at all of them", highlight=False)
    look = frozenset(cited or every)
    return followups.ask(services, job_id, question, look, instead_of=notes.id)


def _finished(
    settings: Settings, database: Database, made: Submitted, console: Console, quiet: bool
) -> JobRow:
    job = _row(database, made.job_id)
    if job.status.ended:
        return job
    say_ahead(settings, database, job, console, quiet)
    ran = serve(settings, job.id, console, quiet)
    if ran.interrupted or ran.job.status not in ANSWERED_JOBS:
        Showing(console, settings, as_json=False).finish(ran)
    return ran.job


def _show(
    settings: Settings,
    database: Database,
    made: Submitted,
    console: Console,
    as_json: bool,
    quiet: bool,
) -> None:
    job = _row(database, made.job_id)
    showing = Showing(console, settings, as_json)
    if job.status.ended:
        showing.settled(job)
    say_ahead(settings, database, job, console, quiet)
    showing.finish(serve(settings, job.id, console, quiet, showing))


def say_ahead(
    settings: Settings, database: Database, job: JobRow, console: Console, quiet: bool
) -> None:
    """Say what a planned job will take, before anything is sent."""
    if quiet:
        return
    with database.read() as connection:
        nodes = inspect.open_nodes(connection, job.id)
        past = inspect.past_calls(connection, job.model, settings.endpoint)
    price = settings.price_of(job.model)
    taken = ahead(nodes, repeated_text(job.ask, job.options), habit_of(past), price)
    images = f" over {pluralize(taken.images, 'image')}" if taken.images else ""
    charged = " (not charged: sandbox)" if settings.uses_sandbox else ""
    console.print(
        f"job {job.id}: at most {pluralize(taken.requests, 'request')}{images},"
        f" about {taken.tokens:,} tokens, {taken.cost:.4f} {taken.currency}{charged}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


def _row(database: Database, job_id: str) -> JobRow:
    with database.read() as connection:
        job = pipeline.job(connection, job_id)
    assert job is not None, "a submitted job has a row"
    return job
