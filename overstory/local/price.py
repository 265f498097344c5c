"""What a job will probably cost: said before its first paid call, and asked about where it is much.

A job that nobody has agreed to begins paused, so that no worker starts it meanwhile.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click
from rich.console import Console

from clients import local_files
from clients.images.decoder import Decoder
from clients.sources import location
from clients.sources.location import place_of
from core.account.budget import plain
from core.account.estimate import Ahead, ahead, tokens_of_size
from core.account.habit import habit_of
from core.catalog.tokens import LOW_TOKENS, Detail
from core.errors import ImageRefused, WrongUsage
from core.images.sizing import ImageLimits
from core.settings import SANDBOX, Settings
from core.states import JobStatus
from core.tree.capacity import expected_tokens
from models import repair, state
from models.engine import Connection, Database
from models.reads import inspect, pipeline
from models.reads.pipeline import JobRow
from models.state import Moved
from overstory.output.plural import pluralize
from overstory.output.terminal import print_plain
from tasks.calls.node_request import context_in

NOT_AGREED = "nobody has agreed to its price yet"
"""The reason of a new job until its command has said what it will cost."""
SAMPLE = 64
"""Images whose headers are read to estimate the tokens of all."""


def holds_new_jobs(settings: Settings) -> str | None:
    """The reason for which a command's new jobs begin paused; None in the sandbox, which costs
    nothing."""
    return None if settings.endpoint == SANDBOX else NOT_AGREED


def agree(
    settings: Settings, database: Database, job_id: str, console: Console, quiet: bool, yes: bool
) -> None:
    """Say what a job will cost before anything of it is paid, and ask a person if that is above
    OVERSTORY_CONFIRM_ABOVE and no budget limits it. A running job was agreed to before.

    Raises WrongUsage if nobody can be asked, and click's Abort if the answer is no.
    """
    job = _held(settings, database, job_id)
    forecast = say_price(settings, database, job, console, quiet)
    limited = job.options.budget is not None or job.status == JobStatus.RUNNING
    if yes or limited or forecast.cost <= settings.confirm_above:
        return
    if not (sys.stdin.isatty() and console.is_terminal):
        sums = f"about {plain(forecast.cost)} {forecast.currency}"
        raise WrongUsage(
            f"job {job.id} would cost {sums}, more than {plain(settings.confirm_above)}"
            " (OVERSTORY_CONFIRM_ABOVE), and nobody can be asked here: add --yes, or a limit with"
            " --budget. Nothing was sent"
        )
    if not _says_yes(f"Spend about {plain(forecast.cost)} {forecast.currency}?"):
        print_plain(console, f"nothing was sent: 'overstory resume {job.id}' starts the job")
        raise click.Abort


def _says_yes(question: str) -> bool:
    try:
        return click.confirm(question, err=True)
    except click.Abort:  # Ctrl-C, or the end of the input
        click.echo(err=True)
        return False


def _held(settings: Settings, database: Database, job_id: str) -> JobRow:
    """The job, reopened and paused if it had ended: then its open calls can be counted."""
    with database.write() as connection:
        status = pipeline.job_status(connection, job_id)
        if status in (JobStatus.FAILED, JobStatus.CANCELLED):
            repair.reopen(connection, job_id, Moved())
            state.job_moved(connection, job_id, JobStatus.PAUSED, holds_new_jobs(settings))
        job = pipeline.job(connection, job_id)
    assert job is not None, "a submitted job has a row"
    return job


def say_price(
    settings: Settings, database: Database, job: JobRow, console: Console, quiet: bool
) -> Ahead:
    """Print what the open calls of a job will probably cost. Returns the figures."""
    with database.read() as connection:
        typical = _typical_tokens(connection, settings, job)
        nodes = inspect.open_nodes(connection, job.id, typical)
        past = inspect.past_calls(connection, job.model, settings.endpoint)
        context = context_in(settings, connection, job)
    price = settings.find_price(job.model)
    forecast = ahead(nodes, context, habit_of(past), settings.price_of(job.model))
    if not quiet:
        print_plain(console, _line(settings, job, forecast, price is not None, bool(past)))
    return forecast


def _line(settings: Settings, job: JobRow, forecast: Ahead, is_priced: bool, has_past: bool) -> str:
    images = f" over {pluralize(forecast.images, 'image')}" if forecast.images else ""
    work = f"{pluralize(forecast.requests, 'request')}{images}, {forecast.tokens:,} tokens"
    if not is_priced:
        return f"job {job.id}: {work}; the price of {job.model} is not known: set OVERSTORY_PRICES"
    charged = ", not charged: sandbox" if settings.endpoint == SANDBOX else ""
    guess = "" if has_past else ", a guess without past calls"
    budget = job.options.budget
    limit = "" if budget is None else f"; budget {plain(budget)} {forecast.currency}"
    return (
        f"job {job.id}: about {forecast.cost:.4f} {forecast.currency} ({work}{guess}{charged})"
        f"{limit}"
    )


def _typical_tokens(connection: Connection, settings: Settings, job: JobRow) -> float:
    """The average tokens of a job's images that are not prepared yet."""
    if job.detail != "high":
        return LOW_TOKENS
    unknown = [image for image in inspect.images(connection, job.id) if image.tokens is None]
    sample = unknown[:: -(-len(unknown) // SAMPLE)] if unknown else []
    decoder, limits = Decoder(settings.decoder_limits), settings.image_limits
    found = (
        image_tokens(image.location, image.root, image.page, decoder, limits, "high")
        for image in sample
    )
    counts = [tokens for tokens in found if isinstance(tokens, int)]
    return _average(counts) or expected_tokens("high")


def _average(counts: Sequence[int]) -> float:
    return sum(counts) / len(counts) if counts else 0.0


def image_tokens(
    where: str,
    root: str | None,
    page: int | None,
    decoder: Decoder,
    limits: ImageLimits,
    detail: Detail,
) -> int | str:
    """Prompt tokens of one image by its header, or why it will fail. A URL is taken for an image of
    full size."""
    if location.is_url(where):
        return expected_tokens(detail)
    try:
        with local_files.opened(place_of(where, root), limits.max_file_bytes) as (file, bytes_):
            size = decoder.measure(file, bytes_, limits, page)
    except ImageRefused as refusal:
        return refusal.reason
    return tokens_of_size(*size, detail)
