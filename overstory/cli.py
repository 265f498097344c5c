"""The command line. Errors say what to do; tracebacks are for bugs only."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from core import settings as configuration
from core.errors import OverstoryError, WrongUsage
from overstory import __version__
from overstory.sandbox.command import sandbox


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def cli() -> None:
    """Answers questions about image sets of any size through a vision model."""


@cli.command()
@click.argument("inputs", nargs=-1, required=True, metavar="PATH_OR_URL...")
@click.option("--ask", required=True, help="The question about the images.")
@click.option("--detail", type=click.Choice(["low", "high"]), help="How closely to look.")
@click.option("--model", help="Model to ask (default: OVERSTORY_MODEL).")
@click.option("--fetch", is_flag=True, help="Fetch URLs here instead of letting the provider.")
@click.option("--fresh", is_flag=True, help="Ask again what was already paid for.")
@click.option("--label", help="A word of your own to find the job by.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
@click.option("--quiet", "-q", is_flag=True, help="No progress on stderr.")
@click.option("--home", type=click.Path(path_type=Path), help="State folder (OVERSTORY_HOME).")
def run(
    inputs: tuple[str, ...],
    ask: str,
    as_json: bool,
    quiet: bool,
    home: Path | None,
    **options: Any,
) -> None:
    """Ask a question about files, folders, globs and URLs.

    The answer is printed on stdout, progress on stderr. The same command again continues the
    same job and pays only for what is missing.
    """
    from core.spec import parse_spec
    from overstory.result import EXIT_STATUS, INTERRUPTED, result
    from overstory.run import run as run_job

    console = Console(stderr=True)
    settings = configuration.load(**({"home": home} if home else {}))
    if options["fresh"]:
        options["key"] = _fresh_key()
    spec = parse_spec({"images": list(inputs), "ask": ask, **_given(options)})
    ran = run_job(settings, spec, console, quiet)
    if as_json:
        from models.engine import Database
        from workers.stack import database_url

        found = result(Database(database_url(settings)), ran.job)
        sys.stdout.write(json.dumps(found, ensure_ascii=False) + "\n")
    else:
        _print_answer(console, ran.job, settings)
    sys.stdout.flush()
    if ran.interrupted:
        console.print(f"interrupted: run the same command again to continue job {ran.job.id}")
        sys.exit(INTERRUPTED)
    sys.exit(EXIT_STATUS[ran.job.status])


cli.add_command(sandbox)


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value not in (None, False)}


def _fresh_key() -> str:
    import secrets

    return f"fresh-{secrets.token_hex(8)}"


def _print_answer(console: Console, job: Any, settings: configuration.Settings) -> None:
    from models.engine import Database
    from overstory.summary import print_summary
    from workers.stack import database_url

    if job.answer:
        sys.stdout.write(job.answer + "\n")
        sys.stdout.flush()
    print_summary(console, Database(database_url(settings)), job)


def main() -> None:
    """Entry point: our errors become one line and an exit status."""
    try:
        cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except WrongUsage as error:
        _complain(error)
        sys.exit(2)
    except OverstoryError as error:
        _complain(error)
        sys.exit(1)


def _complain(error: OverstoryError) -> None:
    Console(stderr=True).print(f"overstory: {error}", markup=False, highlight=False, soft_wrap=True)
