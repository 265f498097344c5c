"""``overstory show``: one job."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from core.account.budget import plain
from core.settings import SANDBOX
from core.states import ImageStatus, JobStatus
from models.reads import inspect
from models.reads.inspect import JobLine
from models.reads.pipeline import JobRow
from overstory.job_argument import find_job, job_argument
from overstory.options import home_option, json_option
from overstory.output import looks, proof
from overstory.output.cited import print_cited
from overstory.output.plural import pluralize
from overstory.output.progress import duration
from overstory.output.result import json_of, overview
from overstory.output.summary import print_answer
from overstory.output.tables import clock, coloured, stdout_console
from overstory.output.terminal import for_stdout, safe
from workers.loading import loaded


@click.command()
@job_argument
@json_option
@home_option
def show(job: str, as_json: bool, home: Path | None) -> None:
    """Show one job: its answer, coverage, tree and cost."""
    settings, database, row = find_job(job, home)
    with database.read() as connection:
        line = inspect.job_line(connection, row.id)
    nobody = ""
    if row.status == JobStatus.RUNNING:
        nobody = loaded("overstory.local.hindrances").nobody_works(settings)
    if as_json:
        more = {"ask": row.ask, "label": line.label, "seconds": line.seconds, "owner": row.owner}
        for piece in json_of(database, row, **more, waits=nobody or None):
            click.echo(piece, nl=False)
        click.echo()
        return
    outcome = overview(database, row)
    console = stdout_console()
    _print_facts(console, row, line, outcome, nobody)
    if row.options.by:
        console.print()
        print_answer(database, row)
    elif row.answer:
        console.print()
        sys.stdout.write(for_stdout(row.answer) + "\n")
        if sys.stdout.isatty():
            print_cited(database, row, row.answer)
    hint = f"'overstory report {row.id}' writes this as a page with the images"
    console.print(f"\n[dim]{hint}[/]", soft_wrap=True, highlight=False)


def _answered(outcome: dict[str, Any]) -> str:
    """How many units of a job by units are answered; empty for another job."""
    units = outcome.get("units")
    if units is None:
        return ""
    answered = sum(unit.get("answer", unit.get("data")) is not None for unit in units)
    return f"{answered:,} of {len(units):,} answered, by {safe(outcome['by'])}"


def _print_facts(
    console: Console, row: JobRow, line: JobLine, outcome: dict[str, Any], nobody: str
) -> None:
    usage, tree = outcome["usage"], outcome["tree"]
    words = {
        ImageStatus.INCLUDED: proof.included(outcome["seen"]),
        "similar": f"of them {outcome['coverage'].get('similar', 0):,} similar to others",
    }
    coverage = [
        words.get(name, f"{count:,} {name}") for name, count in outcome["coverage"].items() if count
    ]
    tokens = usage["prompt_tokens"] + usage["completion_tokens"]
    leaves = pluralize(tree["leaves"], "leaf", "leaves")
    cached = f", {usage['cached_tokens']:,} from the cache" if usage["cached_tokens"] else ""
    charged = " (not charged: sandbox)" if row.endpoint == SANDBOX else ""
    limit = f" of at most {plain(outcome['budget'])}" if outcome["budget"] else ""
    later = ": it is planned when similar images were left out" if row.comparing else ""
    pack = row.options.pack
    packed = f", at most {pluralize(pack, 'image')} a request" if pack else ""
    rows: list[tuple[str, Any]] = [
        ("job", row.id),
        ("status", coloured(row.status)),
        ("", Text(nobody, "yellow")),
        ("question", Text(safe(row.ask))),
        ("label", Text(safe(line.label or ""))),
        ("owner", row.owner or ""),
        ("reason", Text(safe(row.reason or ""))),
        ("images", ", ".join(coverage)),
        ("units", _answered(outcome)),
        ("tree", f"{leaves}, {pluralize(tree['nodes'], 'node')}, depth {tree['depth']}{later}"),
        ("requests", f"{usage['requests']:,} sent; {pluralize(tokens, 'token')}{cached}"),
        ("cost", f"{usage['cost']:.4f} {usage['currency']}{limit}{charged}"),
        ("budget", f"{row.options.watch_budget} of a watched folder" if row.options.watch else ""),
        ("began", f"{clock(line.created_at)}, took {duration(line.seconds)}"),
        ("looks", safe(looks.sentence(row.options, outcome["looks"], row.submitted))),
        ("model", f"{row.model} at {row.endpoint}, {row.detail} detail{packed}"),
    ]
    grid = Table.grid(padding=(0, 2))
    for term, value in rows:
        if str(value):
            grid.add_row(Text(term, "dim"), value if isinstance(value, Text) else Text(value))
    console.print(grid)
