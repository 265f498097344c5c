"""``overstory prune``: ended jobs are forgotten after a time."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from core.settings import load
from models import retention
from models.retention import OldJob
from overstory.job_argument import home_option
from overstory.local.home import prepare_command
from overstory.local.job_runner import planning_services
from overstory.output.plural import pluralize
from overstory.output.terminal import safe_line
from tasks.upkeep.prune import FRESH_SECONDS, Pruned
from tasks.upkeep.prune import prune as prune_jobs

UNITS = {"h": 3_600.0, "d": 86_400.0, "w": 604_800.0}


class Age(click.ParamType[float]):
    """``90d``: a number and h, d or w, as seconds; an hour at least, for what was written lately
    may be about to be referred to by another job, and would be left behind."""

    name = "age"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        found = re.fullmatch(r"(\d+(?:\.\d+)?)([hdw])", str(value))
        if found is None:
            self.fail(f"{value!r} is no age: say 90d, 12h or 2w", param, ctx)
        seconds = float(found[1]) * UNITS[found[2]]
        if seconds < FRESH_SECONDS:
            self.fail(f"{value} is too young: an hour (1h) at least", param, ctx)
        return seconds


@click.command()
@click.option(
    "--older-than", type=Age(), required=True, help="Jobs that ended so long ago: 90d, 12h, 2w."
)
@click.option("--label", help="Only jobs with this label.")
@click.option(
    "--ledger",
    is_flag=True,
    help="Their paid replies too: asking the same again is then paid again, and they leave the"
    " usage figures.",
)
@click.option("--dry-run", "-n", is_flag=True, help="Say what would go; delete nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
@home_option
def prune(
    older_than: float,
    label: str | None,
    ledger: bool,
    dry_run: bool,
    as_json: bool,
    home: Path | None,
) -> None:
    """Forget jobs that ended long ago: answers, images, notes, history, prepared images.

    Running and paused jobs stay, and so does every file you submitted. Paid replies stay in the
    ledger, so that the same question about the same images costs nothing later; --ledger lets
    them go too.
    """
    settings = load(**({"home": home} if home else {}))
    prepare_command(settings)
    services = planning_services(settings)
    with services.database.read() as connection:
        before = retention.cutoff(connection, older_than)
    console = Console(stderr=True)

    def tell(job: OldJob) -> None:
        if not as_json:
            console.print(_line(job), markup=False, highlight=False)

    try:
        pruned = prune_jobs(services, before, label, ledger, dry_run, tell)
    finally:
        services.close()
    if as_json:
        told = {"dry_run": dry_run, "before": before, "label": label, "ledger": ledger}
        click.echo(json.dumps(told | asdict(pruned), ensure_ascii=False))
    else:
        click.echo(summary(pruned, before, dry_run))


def _line(job: OldJob) -> str:
    label = f" ({safe_line(job.label)})" if job.label else ""
    images = pluralize(job.images, "image")
    return f"job {job.id}{label}: {job.status} {_day(job.finished_at)}, {images}"


def summary(pruned: Pruned, before: float, dry_run: bool) -> str:
    """What went, in one or two sentences."""
    left = pluralize(pruned.calls, "paid reply", "paid replies")
    left += " would leave the ledger" if dry_run else " left the ledger"
    if not pruned.jobs:
        said = f"no job ended before {_day(before)}"
        return f"{said}; {left}" if pruned.calls else f"nothing to prune: {said}"
    verb = "would prune" if dry_run else "pruned"
    said = (
        f"{verb} {pluralize(pruned.jobs, 'job')} that ended before {_day(before)}:"
        f" {pluralize(pruned.images, 'image row')}, {pluralize(pruned.nodes, 'node')},"
        f" {pluralize(pruned.events, 'event')};"
        f" {pluralize(pruned.blobs, 'prepared image')}, {pruned.blob_bytes / 1e6:.1f} MB"
    )
    if pruned.calls:
        return f"{said}\n{left}"
    kept = pluralize(pruned.kept_calls, "call")
    return f"{said}\n{kept} kept in the ledger: the same requests cost nothing later"


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
