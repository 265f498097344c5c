"""``overstory watch-folder``: ask again whenever the images of a folder change."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console

from clients.images.decoder import Decoder
from clients.sources.expand import expand
from clients.sources.location import Source, absolute, is_url
from core.access import TokenBudget, parse_budget
from core.account.budget import WATCH_REASON, Watch, budget_of_watch
from core.errors import InputRefused, ServiceAway, WrongUsage
from core.settings import Settings
from core.states import JobStatus
from core.text.hashing import content_key
from models import ledger, repair
from models.engine import Database
from models.reads.pipeline import JobRow
from overstory.commands.asking import ask_and_show
from overstory.commands.specs import Asked, asked_of
from overstory.local.preflight import check_sandbox_is_wanted
from overstory.options import job_options
from overstory.output.result import INTERRUPTED
from overstory.output.terminal import print_plain
from overstory.report.command import check_writable
from workers.endpoints import database_url


class WatchedFolder(click.Path):
    """A folder: of this machine, or of a bucket."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        if is_url(text):
            self.fail("a URL cannot be watched: name a folder", param, ctx)
        return text if "://" in text else str(super().convert(text, param, ctx))


def budget_text(
    context: click.Context, parameter: click.Parameter, text: str | None
) -> float | TokenBudget | None:
    """A callback that takes an amount for each job, or one for a day or a month."""
    if text is None or "/" not in text:
        kind = click.FloatRange(0, min_open=True)
        return None if text is None else kind(text, parameter, context)
    try:
        return parse_budget(text)
    except WrongUsage as error:
        raise click.BadParameter(str(error), context, parameter) from None


@click.command("watch-folder")
@click.argument("folder", type=WatchedFolder(exists=True, file_okay=False))
@click.option(
    "--every", type=click.FloatRange(0.2), default=5.0, help="Seconds between checks. Default: 5."
)
@job_options(
    click.option(
        "--budget",
        metavar="AMOUNT[/month|/day]",
        callback=budget_text,
        help="5/month: the most that this folder and question may cost in a calendar month (UTC),"
        " over all its jobs. 5: the most that each of its jobs may cost.",
    ),
    click.option("--json", "as_json", is_flag=True, help="Print one line of JSON for each answer."),
)
def watch_folder(
    folder: str, every: float, budget: float | TokenBudget | None, **options: Any
) -> None:
    """Ask about a folder, again whenever its images change.

    Takes what 'overstory run' takes. Only the leaves that changed and the summaries above them are
    asked again. A change counts when two checks in a row find the same files, so that a half-copied
    file is not used. Each change is a job; --report is written anew after each answer. When a
    budget of a month is spent, it keeps watching and goes on in the next one. Ctrl-C ends.
    """
    own = None if isinstance(budget, TokenBudget) else budget
    asked = asked_of([folder], {**options, "budget": own})
    check_sandbox_is_wanted(asked.settings)
    if asked.report is not None:
        check_writable(asked.report)
    watch = watch_of(asked, folder, budget) if isinstance(budget, TokenBudget) else None
    if "://" in folder:
        _found(asked.settings, folder)  # says at once that a bucket cannot be reached
    console = Console(stderr=True)
    say = _say_once(console, asked.quiet)
    seen: list[Source] = []
    try:
        while True:
            seen = settled_folder(asked.settings, folder, seen, every, say)
            job = answer(asked.anew(), console, watch)
            if watch is not None and not asked.quiet:
                print_plain(console, spent_line(asked.settings, watch))
            if watch is not None and is_out_of_money(job):
                wait_for_money(asked.settings, folder, watch, every, say)
                seen = []
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def watch_of(asked: Asked, folder: str, budget: TokenBudget) -> Watch:
    """The watch whose budget counts: the same for the same folder, question and endpoint, also with
    another model or label and after a restart. No token's name has a colon."""
    place = folder if "://" in folder else absolute(folder)
    key = content_key([place, asked.spec.ask, asked.spec.each, asked.settings.endpoint])
    return Watch(f"watch:{key[:32]}", budget)


def answer(asked: Asked, console: Console, watch: Watch | None) -> JobRow:
    """Run the job once and print its answer. Exits if it was interrupted."""
    showing, ran = ask_and_show(asked, console, watch=watch)
    if ran.interrupted:
        showing.finish(ran)
    if ran.signalled:  # while the run stopped its workers
        sys.exit(INTERRUPTED)
    return ran.job


def is_out_of_money(job: JobRow) -> bool:
    """Whether a job is paused because the budget of its watch has no room for its next call."""
    return job.status == JobStatus.PAUSED and (job.reason or "").startswith(WATCH_REASON)


def spent_line(settings: Settings, watch: Watch) -> str:
    """What the watch has spent of its budget, calls in flight left out."""
    database = Database(database_url(settings))
    with database.read() as connection:
        budget = budget_of_watch(repair.moment(connection), watch)
        spent = ledger.owner_spent(connection, watch.name, budget.since)
    database.dispose()
    sums = ", ".join(f"{amount:.4f} {currency}" for currency, amount in spent.items())
    return f"spent of {watch.budget} in {budget.period}: {sums or 'nothing'}"


def wait_for_money(
    settings: Settings, folder: str, watch: Watch, every: float, say: Callable[[str], None]
) -> None:
    """Return when the day or the month of the budget is over, by the database's clock."""
    database = Database(database_url(settings))
    until = budget_of_watch(_moment(database), watch).until
    end = datetime.fromtimestamp(until, UTC)
    what = f"nothing is left of {watch.budget} for the next request"
    say(f"{folder}: {what}; watching, and going on after {end:%Y-%m-%d %H:%M} UTC")
    while _moment(database) < until:
        time.sleep(every)
    database.dispose()


def _moment(database: Database) -> float:
    with database.read() as connection:
        return repair.moment(connection)


def settled_folder(
    settings: Settings,
    folder: str,
    seen: list[Source],
    every: float,
    say: Callable[[str], None],
) -> list[Source]:
    """The folder's images, once they differ from ``seen`` and two checks in a row agree."""
    before = None
    while True:
        images = _images(settings, folder)
        if not images:
            say(f"{folder}: no images yet, waiting")
        elif images != seen and images == before:
            return images
        elif images == seen:
            say(f"{folder}: up to date, watching")
        before = images
        time.sleep(every)


def _images(settings: Settings, folder: str) -> list[Source]:
    try:
        return _found(settings, folder)
    except InputRefused:
        raise
    except (WrongUsage, ServiceAway):  # empty, or missing for a moment
        return []


def _found(settings: Settings, folder: str) -> list[Source]:
    decoder = Decoder(settings.decoder_limits)
    return expand([folder], settings.image_limits, decoder, settings.own_inputs).sources


def _say_once(console: Console, quiet: bool) -> Callable[[str], None]:
    printed: set[str] = set()

    def say(text: str) -> None:
        if not quiet and text not in printed:
            printed.add(text)
            print_plain(console, text)

    return say
