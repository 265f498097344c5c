"""``overstory run``: the main job."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from core.settings import load
from models.engine import Database
from overstory.commands.specs import spec_of
from overstory.report.command import check_writable, say_written, write_report
from overstory.run import run as run_job
from overstory.summary import Showing
from workers.stack import database_url


@click.command()
@click.argument("inputs", nargs=-1, required=True, metavar="PATH_OR_URL...")
@click.option("--ask", help="The question about the images.")
@click.option("--each", help="A question asked of every image by itself.")
@click.option(
    "--schema", help="The answer's shape: a JSON Schema file, or package.module:Model (pydantic)."
)
@click.option("--detail", type=click.Choice(["low", "high"]), help="How closely to look.")
@click.option("--model", help="Model to ask (default: OVERSTORY_MODEL).")
@click.option("--fetch", is_flag=True, help="Fetch URLs here instead of letting the provider.")
@click.option("--fresh", is_flag=True, help="Ask again what was already paid for.")
@click.option("--keep-files", is_flag=True, help="Leave uploads at the provider afterwards.")
@click.option("--fail-fast", is_flag=True, help="End at the first image that fails.")
@click.option("--min-coverage", type=click.FloatRange(0, 1), help="End when out of reach.")
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
    showing = Showing(console, settings, as_json)
    if report is not None:
        check_writable(report)
    ran = run_job(settings, spec, console, quiet, showing)
    showing(ran.job)
    if report is not None:
        write_report(settings, Database(database_url(settings)), ran.job, report)
        say_written(console, report)
    showing.finish(ran)
