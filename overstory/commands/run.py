"""``overstory run``: the main job."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from core.settings import load
from overstory.commands.prompts import prompts_option
from overstory.commands.specs import spec_of
from overstory.local.forks import split
from workers.loading import loaded


@click.command()
@click.argument("inputs", nargs=-1, required=True, metavar="PATH_OR_URL...")
@click.option("--ask", help="The question about the images.")
@click.option("--each", help="A question asked of every image by itself.")
@click.option(
    "--schema", help="The answer's shape: a JSON Schema file, or package.module:Model (pydantic)."
)
@click.option("--detail", type=click.Choice(["low", "high"]), help="How closely to look.")
@click.option("--model", help="Model to ask (default: OVERSTORY_MODEL).")
@prompts_option
@click.option("--fetch", is_flag=True, help="Fetch URLs here instead of letting the provider.")
@click.option("--fresh", is_flag=True, help="Ask again what was already paid for.")
@click.option("--keep-files", is_flag=True, help="Leave uploads at the provider afterwards.")
@click.option("--fail-fast", is_flag=True, help="End at the first image that fails.")
@click.option("--min-coverage", type=click.FloatRange(0, 1), help="End when out of reach.")
@click.option(
    "--budget",
    type=click.FloatRange(0, min_open=True),
    help="The most it may cost, in the account's currency; paused before it would pass that.",
)
@click.option("--weight", type=float, help="Share of the account beside other jobs (1).")
@click.option("--label", help="A word of your own to find the job by.")
@click.option(
    "--report", type=click.Path(path_type=Path), help="Write a page with the images there, too."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
@click.option("--quiet", "-q", is_flag=True, help="No progress on stderr.")
@click.option("--home", type=click.Path(path_type=Path), help="State folder (OVERSTORY_HOME).")
def run(
    inputs: tuple[str, ...],
    as_json: bool,
    quiet: bool,
    home: Path | None,
    report: Path | None,
    **options: Any,
) -> None:
    """Ask a question about files, folders, globs and URLs: of all together (--ask), of every one
    by itself (--each), or both.

    The answer is printed on stdout, progress on stderr. The same command again continues the
    same job and pays only for what is missing.
    """
    console = Console(stderr=True)
    settings = load(**({"home": home} if home else {}))
    if options["fresh"]:
        options["key"] = f"fresh-{secrets.token_hex(8)}"
    spec = spec_of(inputs, options)
    fork_server = split(settings)  # before there is a thread or a connection
    asking = loaded("overstory.commands.asking")
    asking.ask_and_show(settings, spec, console, quiet, as_json, report, fork_server)
