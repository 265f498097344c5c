"""``overstory watch-folder``: the answer about a folder, kept up to date as its images change."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from clients.sources.expand import expand
from clients.sources.location import Source
from core.errors import WrongUsage
from core.jobs import JobSpec
from core.settings import Settings, load
from overstory.commands.specs import spec_of
from overstory.job_argument import home_option
from overstory.local.job_runner import run
from overstory.output.result import INTERRUPTED
from overstory.output.summary import Showing
from overstory.output.terminal import safe
from tasks.preprocess import limits_of


@click.command("watch-folder")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--ask", required=True, help="The question about the images.")
@click.option("--every", type=click.FloatRange(0.2), default=5.0, help="Seconds between looks (5).")
@click.option("--detail", type=click.Choice(["low", "high"]), help="How closely to look.")
@click.option("--model", help="Model to ask (default: OVERSTORY_MODEL).")
@click.option("--label", help="A word of your own to find the jobs by.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object a line, one a change.")
@click.option("--quiet", "-q", is_flag=True, help="No progress on stderr.")
@home_option
def watch_folder(
    folder: Path,
    ask: str,
    every: float,
    as_json: bool,
    quiet: bool,
    home: Path | None,
    **options: Any,
) -> None:
    """Ask a question about a folder, and ask it again whenever its images have changed.

    Only the leaves that changed and what is above them are asked again. A change counts when two
    looks in a row find the same, so that a file is not taken while it is being copied. Ctrl-C ends.
    """
    settings = load(**({"home": home} if home else {}))
    spec = spec_of([str(folder)], {"ask": ask, **options})
    console = Console(stderr=True)
    seen: list[Source] = []
    try:
        while True:
            found = settled_folder(settings, folder, seen, every, _say_once(console, quiet))
            seen = found
            answer(settings, spec, console, as_json, quiet)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def answer(settings: Settings, spec: JobSpec, console: Console, as_json: bool, quiet: bool) -> None:
    """Run the question once and print its answer. Exits when the person interrupts."""
    showing = Showing(console, settings, as_json)
    ran = run(settings, spec, console, quiet, showing)
    if ran.interrupted:
        showing.finish(ran)
    showing(ran.job)
    if ran.signalled:  # while what the run had started was stopped
        sys.exit(INTERRUPTED)


def settled_folder(
    settings: Settings,
    folder: Path,
    seen: list[Source],
    every: float,
    say: Callable[[str], None],
) -> list[Source]:
    """The folder's images, once they differ from ``seen`` and two looks in a row agree."""
    before = None
    while True:
        found = _look(settings, folder)
        if not found:
            say(f"{folder} holds no images yet: waiting")
        elif found != seen and found == before:
            return found
        elif found == seen:
            say(f"{folder}: up to date, watching")
        before = found
        time.sleep(every)


def _look(settings: Settings, folder: Path) -> list[Source]:
    try:
        return expand([str(folder)], limits_of(settings)).sources
    except WrongUsage:  # empty for now, or gone for a moment
        return []


def _say_once(console: Console, quiet: bool) -> Callable[[str], None]:
    said: set[str] = set()

    def say(words: str) -> None:
        if not quiet and words not in said:
            said.add(words)
            console.print(safe(words), markup=False, highlight=False, soft_wrap=True)

    return say
