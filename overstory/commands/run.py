"""``overstory run``: start or continue a job and wait for its answer."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from overstory.commands.specs import spec_of
from overstory.local.forks import split
from overstory.options import (
    budget_option,
    home_option,
    json_option,
    label_option,
    question_options,
    quiet_option,
    sandbox_option,
    settings_at,
    yes_option,
)
from overstory.profiles import filled
from workers.loading import loaded


@click.command()
@click.argument("inputs", nargs=-1, required=True, metavar="PATH_OR_URL...")
@question_options
@click.option("--fetch", is_flag=True, help="Download URLs here. Default: the provider does.")
@click.option("--fresh", is_flag=True, help="Do not reuse paid replies; ask and pay again.")
@click.option("--keep-files", is_flag=True, help="Do not delete the uploads after the job.")
@click.option("--fail-fast", is_flag=True, help="End the job when the first image fails.")
@click.option(
    "--min-coverage",
    type=click.FloatRange(0, 1),
    help="Share of the images that the answer must include; the job ends when too many failed.",
)
@budget_option
@click.option("--weight", type=float, help="Share of the limits beside other jobs. Default: 1.")
@label_option
@click.option(
    "--report", type=click.Path(path_type=Path), help="Also write an HTML report to this file."
)
@yes_option
@json_option
@quiet_option
@sandbox_option
@home_option
def run(
    inputs: tuple[str, ...],
    yes: bool,
    as_json: bool,
    quiet: bool,
    sandbox: bool,
    home: Path | None,
    report: Path | None,
    **options: Any,
) -> None:
    """Ask a question about images.

    Takes files, folders, globs and URLs. --ask is about all images together, --each about every
    image by itself; give one or both. The answer goes to stdout, progress to stderr. The same
    command again continues the same job and pays only for what is missing. The expected cost is
    shown first; above OVERSTORY_CONFIRM_ABOVE and without a budget, the command asks before it
    spends anything.
    """
    console = Console(stderr=True)
    settings = settings_at(home, sandbox)
    if options["fresh"]:
        options["key"] = f"fresh-{secrets.token_hex(8)}"
    spec = spec_of(inputs, filled(settings.home, options))
    fork_server = split(settings)  # it forks: no thread or connection may exist yet
    asking = loaded("overstory.commands.asking")
    asking.ask_and_show(settings, spec, console, quiet, as_json, report, fork_server, yes)
