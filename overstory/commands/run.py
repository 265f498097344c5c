"""``overstory run``: start or continue a job and wait for its answer."""

from __future__ import annotations

from typing import Any

import click
from rich.console import Console

from overstory.commands.specs import asked_of
from overstory.local.forks import split
from overstory.options import budget_option, job_options, json_option
from workers.loading import loaded


@click.command()
@click.argument("inputs", nargs=-1, required=True, metavar="PATH_OR_URL...")
@job_options(budget_option, json_option)
def run(inputs: tuple[str, ...], **options: Any) -> None:
    """Ask a question about images.

    Takes files, folders, globs and URLs. --ask is about all images together, --each about every
    image by itself; give one or both. The answer goes to stdout, progress to stderr. The same
    command again continues the same job and pays only for what is missing. The expected cost is
    shown first; above OVERSTORY_CONFIRM_ABOVE and without a budget, the command asks before it
    spends anything.
    """
    console = Console(stderr=True)
    asked = asked_of(inputs, options)
    fork_server = split(asked.settings)  # it forks: no thread or connection may exist yet
    asking = loaded("overstory.commands.asking")
    showing, ran = asking.ask_and_show(asked, console, fork_server)
    showing.finish(ran)
