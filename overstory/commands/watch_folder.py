"""``overstory watch-folder``: ask again whenever the images of a folder change."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from clients.images.decoder import Decoder
from clients.sources.expand import expand
from clients.sources.location import Source
from core.errors import InputRefused, WrongUsage
from core.jobs import JobSpec
from core.settings import Settings
from overstory.commands.specs import spec_of
from overstory.local.job_runner import run
from overstory.local.preflight import check_sandbox_is_wanted
from overstory.options import (
    budget_option,
    detail_option,
    home_option,
    label_option,
    model_option,
    pack_option,
    profile_option,
    quiet_option,
    sandbox_option,
    settings_at,
    yes_option,
)
from overstory.output.result import INTERRUPTED
from overstory.output.summary import Showing
from overstory.output.terminal import print_plain
from overstory.profiles import filled


@click.command("watch-folder")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--ask", required=True, help="Question about all images together.")
@click.option(
    "--every", type=click.FloatRange(0.2), default=5.0, help="Seconds between checks. Default: 5."
)
@detail_option
@model_option
@pack_option
@profile_option
@label_option
@budget_option
@yes_option
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON for each answer.")
@quiet_option
@sandbox_option
@home_option
def watch_folder(
    folder: Path,
    ask: str,
    every: float,
    yes: bool,
    as_json: bool,
    quiet: bool,
    sandbox: bool,
    home: Path | None,
    **options: Any,
) -> None:
    """Ask about a folder, again whenever its images change.

    Only the leaves that changed and the summaries above them are asked again. A change counts when
    two checks in a row find the same files, so that a half-copied file is not used. Each change is
    a job with a price and, with --budget, a limit of its own. Ctrl-C ends.
    """
    settings = settings_at(home, sandbox)
    check_sandbox_is_wanted(settings)
    spec = spec_of([str(folder)], filled(settings.home, {"ask": ask, **options}))
    console = Console(stderr=True)
    seen: list[Source] = []
    try:
        while True:
            seen = settled_folder(settings, folder, seen, every, _say_once(console, quiet))
            answer(settings, spec, console, as_json, quiet, yes)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def answer(
    settings: Settings, spec: JobSpec, console: Console, as_json: bool, quiet: bool, yes: bool
) -> None:
    """Run the job once and print its answer. Exits if it was interrupted."""
    showing = Showing(console, settings, as_json)
    ran = run(settings, spec, console, quiet, showing, yes=yes)
    if ran.interrupted:
        showing.finish(ran)
    showing(ran.job)
    if ran.signalled:  # while the run stopped its workers
        sys.exit(INTERRUPTED)


def settled_folder(
    settings: Settings,
    folder: Path,
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


def _images(settings: Settings, folder: Path) -> list[Source]:
    try:
        decoder = Decoder(settings.decoder_limits)
        return expand([str(folder)], settings.image_limits, decoder, settings.own_inputs).sources
    except InputRefused:
        raise
    except WrongUsage:  # empty, or missing for a moment
        return []


def _say_once(console: Console, quiet: bool) -> Callable[[str], None]:
    printed: set[str] = set()

    def say(text: str) -> None:
        if not quiet and text not in printed:
            printed.add(text)
            print_plain(console, text)

    return say
