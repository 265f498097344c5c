"""What a job will probably cost: said before its first paid call, and asked about where it is much.

A job that nobody has agreed to begins paused, so that no worker starts it meanwhile.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import click
from rich.console import Console

from clients.images.decoder import Decoder
from clients.sources import location, original
from clients.uploads import Uploads, open_uploads
from core.account.budget import plain
from core.account.estimate import Ahead, ahead
from core.account.habit import habit_of
from core.account.token_fit import TokenFit
from core.errors import ImageRefused, WrongUsage
from core.images.objects import is_object
from core.images.sizing import ImageLimits
from core.requests.request import RequestContext
from core.settings import SANDBOX, Settings
from core.states import JobStatus
from models import endpoint_limits, repair, state
from models.engine import Connection, Database
from models.reads import inspect, parts, pipeline
from models.reads.parts import Which
from models.reads.pipeline import JobRow
from models.state import Moved
from overstory.local.probe_price import probe_hint, worthwhile_probe
from overstory.output.plural import pluralize
from overstory.output.terminal import print_plain
from tasks.calls.ahead import at_second_look, parts_ahead
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
    options = job.options
    budgeted = options.budget is not None or options.watch_budget is not None
    limited = budgeted or job.status == JobStatus.RUNNING
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
    """Print what the open calls of a job will probably cost, with all that a second look may take.
    Returns the figures."""
    probe = None
    with database.read() as connection:
        typical = _typical_tokens(connection, settings, job)
        parts = parts_ahead(settings, connection, job, *typical)
        past = {
            part.model: inspect.past_calls(connection, part.model, settings.endpoint)
            for part in parts
        }
        if not quiet:
            learned = endpoint_limits.learned(connection, job.endpoint, job.model)
            is_past = bool(past[job.model])
            probe = worthwhile_probe(settings, connection, job.model, learned, is_past)
    forecasts = [
        ahead(part.nodes, part.context, habit_of(past[part.model]), part.price) for part in parts
    ]
    forecast = reduce(Ahead.and_again, forecasts)
    if not quiet:
        again = sum(part.images for part in forecasts[1:])
        unknown = [p.model for p in parts if p.nodes and settings.find_price(p.model) is None]
        has_past = all(past[part.model] for part in parts if part.nodes)
        line = _line(settings, job, forecast, again, unknown, has_past)
        counted = parts[0].context.image_tokens
        how = f"; tokens {counted.source}" if isinstance(counted, TokenFit) else ""
        print_plain(console, f"{line}{how}")
    if probe is not None:
        print_plain(console, probe_hint(settings, job.model, probe))
    return forecast


def _line(
    settings: Settings,
    job: JobRow,
    forecast: Ahead,
    again: int,
    unknown: Sequence[str],
    has_past: bool,
) -> str:
    images = f" over {pluralize(forecast.images, 'image')}" if forecast.images else ""
    images += f", at most {again:,} of them twice" if again else ""
    work = f"{pluralize(forecast.requests, 'request')}{images}, {forecast.tokens:,} tokens"
    if unknown:
        return f"job {job.id}: {work}; the price of {unknown[0]} is not known: set OVERSTORY_PRICES"
    charged = ", not charged: sandbox" if settings.endpoint == SANDBOX else ""
    guess = "" if has_past else ", a guess without past calls"
    budget = job.options.budget
    limit = "" if budget is None else f"; budget {plain(budget)} {forecast.currency}"
    if job.options.watch_budget is not None:
        limit = f"; budget {job.options.watch_budget}"
    return (
        f"job {job.id}: about {forecast.cost:.4f} {forecast.currency} ({work}{guess}{charged})"
        f"{limit}"
    )


def _typical_tokens(
    connection: Connection, settings: Settings, job: JobRow
) -> tuple[float, float | None]:
    """The average tokens of a job's images that are not prepared yet, and of all its images at a
    second look."""
    first, again = (context_in(settings, connection, at) for at in (job, at_second_look(job)))
    before = _average(connection, settings, job, first, parts.UNMEASURED)
    if job.options.second_look is None:
        return before, None
    return before, _average(connection, settings, job, again, parts.EVERY)


def _average(
    connection: Connection, settings: Settings, job: JobRow, look: RequestContext, which: Which
) -> float:
    """The average tokens of a job's images at ``look``, by the headers of some of them."""
    if look.is_flat:
        return look.tokens_most
    images = parts.sampled(connection, job.id, which, SAMPLE)
    reader = HeaderReader.of(settings)
    found = (reader.tokens(image.location, image.root, image.page, look) for image in images)
    counts = [tokens[0] for tokens in found if isinstance(tokens, tuple)]
    return sum(counts) / len(counts) if counts else look.tokens_most


HEADER_BYTES = 128 * 1024
"""Of an object: the size of nearly every image is told before the first pixels, behind EXIF and a
colour profile."""


@dataclass(frozen=True, slots=True)
class HeaderReader:
    """Reads the headers of images, for their tokens."""

    decoder: Decoder
    limits: ImageLimits
    uploads: Uploads

    @classmethod
    def of(cls, settings: Settings) -> HeaderReader:
        uploads = open_uploads(settings.blob_url, settings.home)
        return cls(Decoder(settings.decoder_limits), settings.image_limits, uploads)

    def tokens(
        self, where: str, root: str | None, page: int | None, *looks: RequestContext
    ) -> tuple[int, ...] | str:
        """Prompt tokens of one image by its header at each of ``looks``, or why it will fail. A URL
        is taken for an image of full size, and so is a page in a bucket; the pages of other
        documents are drawn here. Of an image in a bucket only the first bytes are read."""
        if location.is_url(where):
            return tuple(
                look.tokens_fetched if page is None else look.tokens_most for look in looks
            )
        if is_object(where):
            return self._of_object(where, page, *looks)
        try:
            with original.opened(where, root, self.uploads, self.limits.max_file_bytes) as found:
                size = self.decoder.measure(*found, self.limits, page)
        except ImageRefused as refusal:
            return refusal.reason
        return tuple(look.tokens_of(*size) for look in looks)

    def _of_object(
        self, where: str, page: int | None, *looks: RequestContext
    ) -> tuple[int, ...] | str:
        """An image whose size is not in the first bytes is taken for one of full size."""
        most = tuple(look.tokens_most for look in looks)
        if page is not None:
            return most
        try:
            head = original.first_bytes(where, HEADER_BYTES)
        except ImageRefused as refusal:
            return refusal.reason
        if not head:
            return "the object is empty"
        with tempfile.NamedTemporaryFile() as written, open(written.name, "rb") as file:  # noqa: PTH123
            written.write(head)
            written.flush()
            try:
                size = self.decoder.measure(file, len(head), self.limits)
            except ImageRefused:
                return most
        return tuple(look.tokens_of(*size) for look in looks)
