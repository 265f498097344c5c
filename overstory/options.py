"""Options that several commands share. Imports little, for start time."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from core.settings import Settings, load
from core.text.sanitize import UNSTORABLE, is_storable
from workers.home import make_private

Decorator = Callable[[Any], Any]

ask_option = click.option("--ask", help="Question about all images together.")
each_option = click.option("--each", help="Question about each image by itself.")
schema_option = click.option(
    "--schema",
    help="Shape of the answer: a JSON Schema file, or a pydantic model as package.module:Model."
    " With --each, every image gets one such object.",
)
by_option = click.option(
    "--by",
    metavar="folder|document|date|COLUMN",
    help="One answer a unit, not an image: --each is asked of each folder, document, date, or value"
    " of a table's column.",
)
image_column_option = click.option(
    "--image-column",
    metavar="COLUMN",
    help="Inputs that are tables (CSV, JSON Lines, Parquet) name images in this column. The other"
    " columns are facts of the image, which exports show again.",
)
with_option = click.option(
    "--with",
    "with_",
    metavar="FACT,...",
    help="Show the model these facts beside each image: name, taken, gps, columns of the table.",
)
similar_option = click.option(
    "--similar",
    is_flag=True,
    help="Of images that are nearly the same, as bursts are, ask about the best one.",
)
detail_option = click.option(
    "--detail",
    type=click.Choice(["low", "high", "auto"]),
    help="Resolution at which the model sees each image; high costs more tokens; auto is low, and"
    " high for images that are looked at twice. Default: OVERSTORY_DETAIL.",
)
model_option = click.option("--model", help="Model to ask. Default: OVERSTORY_MODEL.")
pack_option = click.option(
    "--pack",
    type=click.IntRange(1),
    help="Images a request, at most. Fewer are often read better and cost more ('estimate' compares"
    " packs). Default: as many as the model takes.",
)
second_model_option = click.option(
    "--second-model",
    help="Model that looks again at the images which the first one could not tell.",
)
second_look_option = click.option(
    "--second-look",
    type=click.FloatRange(0, 1, min_open=True),
    help="Share of the images that may be looked at twice. Default: 0.2, with --detail auto or"
    " --second-model.",
)
profile_option = click.option(
    "--profile",
    metavar="NAME",
    help="Take pack, detail and model from this profile, where they are not given here; 'overstory"
    " tune' writes profiles.",
)
prompts_option = click.option(
    "--prompts",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder with your own prompt texts; 'overstory prompts --out' writes one to edit.",
)
bare_option = click.option(
    "--bare",
    is_flag=True,
    help="Take the answer as it comes: no line is asked for about each image, and coverage counts"
    " what was sent.",
)
canary_option = click.option(
    "--canary",
    is_flag=True,
    help="Add one or two pictures of ours with a random word to each request, and believe no reply"
    " without it. They are paid for, and are in no answer.",
)


def valid_text(context: click.Context, parameter: click.Parameter, text: str | None) -> str | None:
    """A callback that refuses text which a database cannot compare or store."""
    if text is not None and not is_storable(text):
        raise click.BadParameter(UNSTORABLE)
    return text


fetch_option = click.option(
    "--fetch", is_flag=True, help="Download URLs here. Default: the provider does."
)
fresh_option = click.option(
    "--fresh", is_flag=True, help="Do not reuse paid replies; ask and pay again."
)
keep_files_option = click.option(
    "--keep-files", is_flag=True, help="Do not delete the uploads after the job."
)
fail_fast_option = click.option(
    "--fail-fast", is_flag=True, help="End the job when the first image fails."
)
min_coverage_option = click.option(
    "--min-coverage",
    type=click.FloatRange(0, 1),
    help="Share of the images that the answer must include; the job ends when too many failed.",
)
weight_option = click.option(
    "--weight", type=float, help="Share of the limits beside other jobs. Default: 1."
)
report_option = click.option(
    "--report", type=click.Path(path_type=Path), help="Also write an HTML report to this file."
)
label_option = click.option("--label", help="Label to find the job by, as in 'jobs --label'.")
budget_option = click.option(
    "--budget",
    type=click.FloatRange(0, min_open=True),
    help="Cost limit in the account's currency. The job pauses before it would cost more.",
)
yes_option = click.option(
    "--yes",
    "-y",
    is_flag=True,
    help="Do not ask before a job that costs more than OVERSTORY_CONFIRM_ABOVE.",
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print the result as JSON on stdout."
)
quiet_option = click.option("--quiet", "-q", is_flag=True, help="Show no progress on stderr.")
sandbox_option = click.option(
    "--sandbox",
    is_flag=True,
    help="Let the local stand-in answer, from colours and sizes alone, even if a key is set.",
)
home_option = click.option(
    "--home", type=click.Path(path_type=Path), help="State folder. Default: OVERSTORY_HOME."
)


def question_options(command: Any) -> Any:
    """The options that describe what to ask, for ``run`` and ``estimate``."""
    asked = (ask_option, each_option, schema_option)
    sorted_ = (by_option, image_column_option, with_option, similar_option)
    sent = (detail_option, model_option, second_model_option, second_look_option)
    how = (pack_option, profile_option, prompts_option, bare_option, canary_option)
    for option in reversed((*asked, *sorted_, *sent, *how)):
        command = option(command)
    return command


def job_options(budget: Decorator, as_json: Decorator) -> Decorator:
    """The options of commands that ask a job and show its answer: ``run`` and ``watch-folder``,
    which have a --budget and a --json of their own. ``commands.specs.asked_of`` takes them."""
    job = (fetch_option, fresh_option, keep_files_option, fail_fast_option, min_coverage_option)
    shown = (budget, weight_option, label_option, report_option, yes_option, as_json, quiet_option)

    def decorate(command: Any) -> Any:
        for option in reversed((*job, *shown, sandbox_option, home_option)):
            command = option(command)
        return question_options(command)

    return decorate


def status_option(statuses: type[Any]) -> Decorator:
    """``--status``, which may be given several times, with the values of an enum."""
    return click.option(
        "--status",
        "statuses",
        multiple=True,
        type=click.Choice([status.value for status in statuses]),
        help="List only this status. May be given several times.",
    )


def settings_at(home: Path | None, sandbox: bool = False) -> Settings:
    """The settings, with ``--home`` in place of OVERSTORY_HOME and ``--sandbox`` if given. The
    state folder is made private before anything is read from it. Raises WrongUsage, NotOurs."""
    settings = load(**({"home": home} if home else {}), **({"sandbox": True} if sandbox else {}))
    with contextlib.suppress(PermissionError):  # a command that needs the folder says so
        make_private(settings.home)
    return settings
