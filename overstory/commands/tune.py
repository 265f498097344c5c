"""``overstory tune``: how many images a request, which detail and which model."""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from clients.images.decoder import Decoder
from clients.sources.expand import expand
from core.account.budget import plain
from core.errors import WrongUsage
from core.jobs import JobSpec
from core.settings import SANDBOX, Settings
from core.truth.choice import Choice
from core.truth.rules import RULES, Rule, rules_of
from core.truth.sample import stratified
from core.truth.truth import Truth
from models.engine import Database
from overstory.commands.specs import spec_of
from overstory.forecasting import forecasts_of
from overstory.local.home import prepare_command
from overstory.local.job_runner import run
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
from overstory.output.progress import duration
from overstory.output.tables import print_json, stdout_console, table
from overstory.output.terminal import print_plain, safe_line
from overstory.truth_file import read_truth
from overstory.tuning import (
    Measured,
    Setting,
    chosen,
    measure,
    reason_for,
    settings_of,
    spec_for,
)
from workers.endpoints import database_url

FEW = 30
"""Fewer labelled images say little: the interval of a share is then 30 points wide or more."""
PACKS, DETAILS = "1,5,15,30,60", "low,high"


def _numbers(context: click.Context, parameter: click.Parameter, text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
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
@click.option(
    "--truth",
    "truth_file",
    required=True,
    type=click.Path(path_type=Path),
    help="What you know: CSV, JSON Lines or Parquet with a column for the file name and one for"
    " each field.",
)
@click.option("--packs", default=PACKS, show_default=True, callback=_numbers, help="Packs to try.")
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
    "--rule",
    "rules",
    multiple=True,
    metavar="FIELD=RULE",
    help=f"How a field is compared: {', '.join(RULES)}. May be given several times.",
)
@click.option(
    "--name-column",
    help="Column of the file name. Default: file, name, image, path or filename.",
)
@yes_option
@json_option
@quiet_option
@sandbox_option
@home_option
def tune(
    inputs: tuple[str, ...],
    truth_file: Path,
    packs: list[int],
    details: list[Any],
    models: list[str],
    sample: int,
    seed: int,
    rules: tuple[str, ...],
    name_column: str | None,
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
    and take. The same command again pays only for what is missing.
    """
    console = Console(stderr=True)
    settings = settings_at(home, sandbox)
    truth = read_truth(truth_file, name_column)
    base = spec_of(inputs, options)
    prepare_command(settings)
    places = _places(settings, inputs, truth, sample, seed)
    asked = settings_of(packs, details, models or [settings.model], len(places))
    specs = [(setting, spec_for(base, setting, list(places.values()), seed)) for setting in asked]
    _remark(console, truth, len(places), max(packs), quiet)
    _agree(console, settings, [spec for _, spec in specs], yes, quiet)
    measured = _ask_all(console, settings, specs, places, truth, rules_of(rules, truth), quiet)
    choice = chosen(measured, seed)
    if as_json:
        print_json(_value(measured, asked, choice))
    else:
        _print(stdout_console(), measured, asked, choice)


def _places(
    settings: Settings, inputs: Sequence[str], truth: Truth, size: int, seed: int
) -> dict[str, str]:
    """The sample: labelled name -> location. Raises WrongUsage if nothing matches."""
    decoder = Decoder(settings.decoder_limits)
    sources = expand(inputs, settings.image_limits, decoder, settings.own_inputs).sources
    found = [source for source in sources if source.page is None]
    matched = truth.matched([source.location for source in found])
    if not matched.index:
        ours = found[0].name if found else "no image of one page"
        raise WrongUsage(
            f"no labelled image is among the inputs: the truth names {next(iter(truth.rows))!r},"
            f" the inputs hold {ours!r}. Write paths or file names; --name-column names their"
            " column"
        )
    chance = random.Random(seed)  # noqa: S311 - a sample, no secret
    names = stratified(truth, list(matched.index), size, chance)
    return {name: found[matched.index[name]].location for name in names}


def _remark(console: Console, truth: Truth, images: int, largest: int, quiet: bool) -> None:
    if quiet:
        return
    print_plain(
        console, f"{images} of {pluralize(len(truth.rows), 'labelled image')} are asked a setting"
    )
    if images < FEW:
        print_plain(console, f"fewer than {FEW} labelled images say little")
    if largest > images:
        print_plain(
            console, f"packs of {images} images and more are one setting: all in one request"
        )


def _agree(
    console: Console, settings: Settings, specs: Sequence[JobSpec], yes: bool, quiet: bool
) -> None:
    """Say what all settings will cost at most, and ask above OVERSTORY_CONFIRM_ABOVE.

    Raises WrongUsage if nobody can be asked, and click's Abort if the answer is no.
    """
    forecasts = forecasts_of(settings, specs)
    total = sum(forecast.cost for forecast in forecasts)
    sums = f"about {plain(total)} {forecasts[0].currency}"
    if not quiet:
        charged = ", not charged: sandbox" if settings.endpoint == SANDBOX else ""
        requests = sum(forecast.requests for forecast in forecasts)
        print_plain(
            console,
            f"{pluralize(len(specs), 'setting')}: {sums} for {requests:,} requests{charged};"
            " what is paid already is not paid again",
        )
    limited = any(spec.budget is not None for spec in specs)
    if settings.endpoint == SANDBOX or yes or limited or total <= settings.confirm_above:
        return
    if not (sys.stdin.isatty() and console.is_terminal):
        raise WrongUsage(
            f"the settings would cost {sums}, more than {plain(settings.confirm_above)}"
            " (OVERSTORY_CONFIRM_ABOVE), and nobody can be asked here: add --yes, or a limit with"
            " --budget. Nothing was sent"
        )
    if not click.confirm(f"Spend {sums}?", err=True):
        raise click.Abort


def _ask_all(
    console: Console,
    settings: Settings,
    specs: Sequence[tuple[Setting, JobSpec]],
    places: dict[str, str],
    truth: Truth,
    rules: dict[str, Rule],
    quiet: bool,
) -> list[Measured]:
    """Ask one setting after the other, because all of them share the account's limits. Stops at an
    interrupt, and where the budget is spent; what is known by then is returned."""
    measured: list[Measured] = []
    budget = specs[0][1].budget
    for setting, spec in specs:
        left = None if budget is None else budget - sum(one.paid for one in measured)
        if left is not None and left <= 0:
            break
        if not quiet:
            print_plain(console, f"asking: {setting}")
        limited = spec.model_copy(update={"budget": left})
        ran = run(settings, limited, console, quiet, yes=True)
        if not ran.job.status.ended:
            break
        database = Database(database_url(settings))
        measured.append(measure(settings, database, ran.job, setting, places, truth, rules))
    return measured


def _value(
    measured: Sequence[Measured], asked: Sequence[Setting], choice: Choice
) -> dict[str, Any]:
    one = measured[choice.chosen].setting
    return {
        "settings": [
            {
                "pack": each.setting.pack,
                "detail": each.setting.detail,
                "model": each.setting.model,
                "job": each.job,
                "images": len(each.verdicts),
                "unanswered": each.unanswered,
                "fields": each.fields(),
                "prompt_tokens": each.prompt_tokens,
                "completion_tokens": each.completion_tokens,
                "cost": round(each.cost, 6),
                "seconds": round(each.seconds, 1),
                "worse": result.worse,
                "difference": {"low": result.low, "high": result.high},
            }
            for each, result in zip(measured, choice.against, strict=True)
        ],
        "not_asked": [
            {"pack": setting.pack, "detail": setting.detail, "model": setting.model}
            for setting in asked[len(measured) :]
        ],
        "chosen": {
            "pack": one.pack,
            "detail": one.detail,
            "model": one.model,
            "reason": reason_for(choice, measured),
        },
    }


def _print(
    console: Console, measured: Sequence[Measured], asked: Sequence[Setting], choice: Choice
) -> None:
    names = list(measured[0].fields())
    several = len({one.setting.model for one in measured}) > 1
    shown = [f"={safe_line(name)} (95 %)" for name in names]
    models = ["model"] if several else []
    drawn = table("=pack", "detail", *models, *shown, "=none", "=tokens", "=cost", "=time", "")
    for place, (one, result) in enumerate(zip(measured, choice.against, strict=True)):
        fields = one.fields()
        mark = "chosen" if place == choice.chosen else "worse" if result.worse else ""
        drawn.add_row(
            str(one.setting.pack),
            one.setting.detail,
            *([safe_line(one.setting.model)] if several else []),
            *(_share(fields[name]) for name in names),
            str(one.unanswered),
            f"{(one.prompt_tokens + one.completion_tokens) / len(one.verdicts):,.0f}",
            f"{one.cost:.4f}",
            duration(one.seconds),
            Text(mark),
        )
    console.print(drawn)
    for setting in asked[len(measured) :]:
        print_plain(console, f"not asked: {setting}")
    selected = measured[choice.chosen].setting
    print_plain(
        console, "none: images without an answer; tokens: of an image; cost, time: 1,000 images"
    )
    print_plain(console, "")
    print_plain(console, f"{selected}: {reason_for(choice, measured)}")
    print_plain(
        console,
        f"use it: overstory run PATHS --each TEXT --pack {selected.pack} --detail {selected.detail}"
        f" --model {safe_line(selected.model)}",
    )


def _share(field: dict[str, float]) -> str:
    share = field["right"] / field["of"]
    return f"{share:.0%} ({100 * field['low']:.0f}-{100 * field['high']:.0f})"
