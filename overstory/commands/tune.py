"""``overstory tune``: how many images a request, which detail and which model."""

from __future__ import annotations

import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from clients.images.decoder import Decoder
from clients.sources.expand import expand
from clients.sources.location import known_as
from clients.uploads import open_uploads
from core.account.budget import plain
from core.account.estimate import Estimate
from core.errors import WrongUsage
from core.jobs import JobSpec
from core.settings import SANDBOX, Settings
from core.states import ANSWERED_JOBS
from core.tree.capacity import check_pack, images_most
from core.truth.rules import Rule
from core.truth.sample import stratified
from core.truth.truth import Not, Truth
from overstory.checking import judged_by, kinds_in
from overstory.commands.specs import spec_of
from overstory.commands.tune_table import print_tuned
from overstory.forecasting import forecasts_of
from overstory.local.home import prepare_command
from overstory.local.job_series import JobSeries, job_series
from overstory.local.preflight import check_sandbox_is_wanted, with_served_model
from overstory.options import (
    each_option,
    home_option,
    json_option,
    quiet_option,
    sandbox_option,
    schema_option,
    settings_at,
    yes_option,
)
from overstory.output.plural import pluralize
from overstory.output.result import INTERRUPTED
from overstory.output.tables import print_json, stdout_console
from overstory.output.terminal import print_plain
from overstory.profile_of_tuning import default_name, write_chosen
from overstory.profiles import profile_path
from overstory.truth_file import read_truth, truth_options
from overstory.tuning import Measured, Setting, chosen, json_of, measure, settings_of, spec_for

FEW = 30
"""Fewer labelled images say little: the interval of a share is then 30 points wide or more."""
PACKS, DETAILS = (1, 5, 15, 30, 60), "low,high"
NO_ROOM = "does not fit what is left of --budget"


def _numbers(
    context: click.Context, parameter: click.Parameter, text: str | None
) -> list[int] | None:
    parts = [part.strip() for part in (text or "").split(",")]
    if text is None:
        return None
    if not all(part.isdecimal() and int(part) for part in parts):
        raise click.BadParameter(f"{text!r}: write numbers from 1 with commas between, like 1,15")
    return [int(part) for part in parts]


def _names(context: click.Context, parameter: click.Parameter, text: str | None) -> list[str]:
    return list(dict.fromkeys(part.strip() for part in (text or "").split(",") if part.strip()))


def _details(context: click.Context, parameter: click.Parameter, text: str) -> list[str]:
    names = _names(context, parameter, text)
    if not names or set(names) - {"low", "high"}:
        raise click.BadParameter(f"{text!r}: write low, high or low,high")
    return names


@click.command()
@click.argument("inputs", nargs=-1, required=True, metavar="PATH...")
@each_option
@schema_option
@truth_options
@click.option(
    "--packs",
    callback=_numbers,
    help="Packs to try: images a request, at most. Default: 1,5,15,30,60, as far as the model"
    " takes so many.",
)
@click.option(
    "--details", default=DETAILS, show_default=True, callback=_details, help="Details to try."
)
@click.option("--models", callback=_names, help="Models to try. Default: OVERSTORY_MODEL.")
@click.option(
    "--sample",
    default=60,
    show_default=True,
    type=click.IntRange(1),
    help="Labelled images that are asked under each setting.",
)
@click.option("--seed", default=0, show_default=True, help="Draws another sample and order.")
@click.option(
    "--budget",
    type=click.FloatRange(0, min_open=True),
    help="Cost limit of all settings together, in the account's currency.",
)
@click.option(
    "--profile",
    metavar="NAME",
    help="Name of the profile that is written. Default: the folder's.",
)
@yes_option
@json_option
@quiet_option
@sandbox_option
@home_option
def tune(
    inputs: tuple[str, ...],
    truth_file: Path | None,
    packs: list[int] | None,
    details: list[Any],
    models: list[str],
    sample: int,
    seed: int,
    rules: tuple[str, ...],
    name_column: str | None,
    profile: str | None,
    yes: bool,
    as_json: bool,
    quiet: bool,
    sandbox: bool,
    home: Path | None,
    **options: Any,
) -> None:
    """Find the cheapest setting that is not worse than the best, on labelled images.

    Asks the same labelled images under each pack, detail and model, and compares the answers with
    what you know. Prints how much is right under each setting, and what 1,000 images would cost
    and take; writes the choice to a profile, for 'run --profile NAME'. The same command again pays
    only for what is missing.
    """
    if not options["each"]:
        raise click.UsageError("no question: give --each, because answers are compared by image")
    if truth_file is None:
        raise click.UsageError("what is true? Name a file: --truth FILE")
    console = Console(stderr=True)
    settings = settings_at(home, sandbox)
    check_sandbox_is_wanted(settings)
    name = profile or default_name(inputs[0])
    profile_path(settings.home, name)  # a wrong name is refused before anything is paid
    base = spec_of(inputs, options)
    if not models:
        settings = with_served_model(settings, console)
    truth, judged = judged_by(
        kinds_in(base.schema_), read_truth(truth_file, name_column), rules, "the schema has"
    )
    prepare_command(settings)
    places = _places(settings, inputs, truth, sample, seed)
    models = models or [settings.model]
    asked = settings_of(_packs(settings, packs, models), details, models, len(places))
    specs = {setting: spec_for(base, setting, list(places.values()), seed) for setting in asked}
    run = Tuning(settings, console, quiet, places, truth, judged, specs, base.budget)
    run.remark(max(packs or PACKS))
    with job_series(settings, console, quiet) as series:
        run.agree(series, yes)
        run.ask_all(series)
    if series.is_interrupted():
        print_plain(console, "interrupted: run the same command again to continue")
    if not run.measured:
        run.fail(series.is_interrupted())
    choice = chosen(run.measured, seed)
    written = None
    if not series.is_interrupted():
        written = write_chosen(settings.home, name, run.measured[choice.chosen], seed)
    if as_json:
        value = json_of(run.measured, run.skipped, choice)
        print_json(value | {"profile": None if written is None else name})
    else:
        shown = None if written is None else name
        print_tuned(stdout_console(), settings, run.measured, run.skipped, choice, shown)
    if series.is_interrupted():
        sys.exit(INTERRUPTED)


def _packs(settings: Settings, given: list[int] | None, models: Sequence[str]) -> list[int]:
    """The packs to try. Raises WrongUsage for one that a model does not take."""
    for model in models:
        for pack in given or ():
            check_pack(settings.facts_of(model), settings.images_per_request, pack)
    most = min(
        images_most(settings.facts_of(model), settings.images_per_request) for model in models
    )
    return given or [min(pack, most) for pack in PACKS]


def _places(
    settings: Settings, inputs: Sequence[str], truth: Truth, size: int, seed: int
) -> dict[str, str]:
    """The sample: labelled name -> location. Raises WrongUsage if nothing matches."""
    decoder = Decoder(settings.decoder_limits)
    uploads = open_uploads(settings.blob_url, settings.home)
    sources = expand(
        inputs, settings.image_limits, decoder, settings.own_inputs, uploads=uploads
    ).sources
    found = [source for source in sources if source.page is None]
    matched = truth.matched([known_as(each.name, each.location, each.page) for each in found])
    known = [name for name in matched.index if _is_known(truth, name)]
    if not known:
        ours = found[0].name if found else "no image of one page"
        raise WrongUsage(
            f"no labelled image is among the inputs: the truth names {next(iter(truth.rows))!r},"
            f" the inputs hold {ours!r}. Write paths or file names; --name-column names their"
            " column"
        )
    chance = random.Random(seed)  # noqa: S311 - a sample, no secret
    names = stratified(truth, known, size, chance)
    return {name: found[matched.index[name]].location for name in names}


def _is_known(truth: Truth, name: str) -> bool:
    """Whether a field of the image is labelled, and not only known to be something else."""
    return any(not isinstance(value, Not) for value in truth.rows[name].values())


@dataclass(slots=True)
class Tuning:
    """One call of the command. ``skipped``: settings that were not asked, and why."""

    settings: Settings
    console: Console
    quiet: bool
    places: Mapping[str, str]
    truth: Truth
    rules: Mapping[str, Rule]
    specs: Mapping[Setting, JobSpec]
    budget: float | None
    measured: list[Measured] = field(default_factory=list)
    skipped: dict[Setting, str] = field(default_factory=dict)
    forecasts: dict[Setting, Estimate] = field(default_factory=dict)

    def remark(self, largest: int) -> None:
        """Say what is asked, and what makes the result weak."""
        images = len(self.places)
        labelled = pluralize(len(self.truth.rows), "labelled image")
        self._say(f"{images} of {labelled} are asked under {pluralize(len(self.specs), 'setting')}")
        if images < FEW:
            self._say(f"fewer than {FEW} labelled images say little")
        if largest > images:
            self._say(f"packs of {images} images and more are one setting: all in one request")

    def agree(self, series: JobSeries, yes: bool) -> None:
        """Say what the settings that have no answers yet will cost, and ask above
        OVERSTORY_CONFIRM_ABOVE. Raises WrongUsage if nobody can be asked, and click's Abort if the
        answer is no."""
        new = [setting for setting in self.specs if series.answered(self.specs[setting]) is None]
        if not new:
            self._say("all of them have their answers from before: nothing is paid")
            return
        forecasts = forecasts_of(self.settings, [self.specs[setting] for setting in new])
        self.forecasts = dict(zip(new, forecasts, strict=True))
        total = sum(forecast.cost for forecast in forecasts)
        requests = sum(forecast.requests for forecast in forecasts)
        sums = f"about {plain(total)} {forecasts[0].currency}"
        free = self.settings.endpoint == SANDBOX
        of = "" if len(new) == len(self.specs) else f" for the {len(new)} that are new"
        charged = ", not charged: sandbox" if free else ""
        if total:
            self._say(f"{sums} for {pluralize(requests, 'request')}{of}{charged}")
        else:
            self._say(f"{pluralize(requests, 'request')}{of}; no price is known: OVERSTORY_PRICES")
        if free or yes or self.budget is not None or total <= self.settings.confirm_above:
            return
        if not (sys.stdin.isatty() and self.console.is_terminal):
            raise WrongUsage(
                f"the settings would cost {sums}, more than"
                f" {plain(self.settings.confirm_above)} (OVERSTORY_CONFIRM_ABOVE), and nobody can"
                " be asked here: add --yes, or a limit with --budget. Nothing was sent"
            )
        if not click.confirm(f"Spend {sums}?", err=True):
            raise click.Abort

    def ask_all(self, series: JobSeries) -> None:
        """Ask one setting after the other, because all share the account's limits. Stops at an
        interrupt; what is known by then is in ``measured``."""
        for number, (setting, spec) in enumerate(self.specs.items(), 1):
            if series.is_interrupted():
                self.skipped[setting] = "interrupted"
                continue
            job = series.answered(spec)
            if job is None:
                left = self._left()
                forecast = self.forecasts.get(setting)
                if left is not None and (left <= 0 or (forecast and forecast.cost > left)):
                    self.skipped[setting] = NO_ROOM
                    continue
                self._say(f"{number} of {len(self.specs)}: {setting}")
                job = series.ask(spec.model_copy(update={"budget": left}))
            if job.status in ANSWERED_JOBS:
                known = (self.places, self.truth, self.rules)
                database = series.database
                self.measured.append(measure(self.settings, database, job, setting, *known))
            elif series.is_interrupted():
                self.skipped[setting] = "interrupted"
            else:
                self.skipped[setting] = job.reason or f"job {job.id} is {job.status}"

    def fail(self, interrupted: bool) -> None:
        """End without a table. Raises WrongUsage with the reason."""
        if interrupted:
            sys.exit(INTERRUPTED)
        reasons = dict.fromkeys(self.skipped.values())
        advice = "; give a larger one" if NO_ROOM in reasons else ""
        raise WrongUsage(f"no setting has answers: {'; '.join(reasons)}{advice}")

    def _left(self) -> float | None:
        if self.budget is None:
            return None
        return self.budget - sum(one.paid for one in self.measured)

    def _say(self, text: str) -> None:
        if not self.quiet:
            print_plain(self.console, text)
