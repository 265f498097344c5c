"""``overstory prune``: delete old jobs from the database."""

from __future__ import annotations

import re
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from models import retention
from models.retention import OldJob
from overstory.local.home import prepare_command
from overstory.local.job_runner import planning_services
from overstory.options import home_option, json_option, settings_at, valid_text
from overstory.output.plural import pluralize
from overstory.output.terminal import json_line, print_plain, safe_line
from tasks.upkeep.prune import FRESH_SECONDS, Pruned
from tasks.upkeep.prune import prune as prune_jobs

UNITS = {"h": 3_600.0, "d": 86_400.0, "w": 604_800.0}


class Age(click.ParamType[float]):
    """``90d``, ``12h`` or ``2w``, converted to seconds. At least an hour, because another job may
    be about to refer to something newer, and that would stay behind."""

    name = "age"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        match = re.fullmatch(r"(\d+(?:\.\d+)?)([hdw])", str(value))
        if match is None:
            self.fail(f"{value!r} is not an age: write one like 90d, 12h or 2w", param, ctx)
        seconds = float(match[1]) * UNITS[match[2]]
        if seconds < FRESH_SECONDS:
            self.fail(f"{value} is too short: the least is 1h", param, ctx)
        return seconds


@click.command()
@click.option(
    "--older-than",
    type=Age(),
    required=True,
    help="Delete jobs that ended longer ago than this: 12h (hours), 90d (days), 2w (weeks).",
)
@click.option("--label", callback=valid_text, help="Delete only jobs with this label.")
@click.option(
    "--ledger",
    is_flag=True,
    help="Delete the paid replies of these jobs too. The same question is then paid again, and"
    " they are missing in the usage figures.",
)
@click.option("--dry-run", "-n", is_flag=True, help="Show what would be deleted; delete nothing.")
@json_option
@home_option
def prune(
    older_than: float,
    label: str | None,
    ledger: bool,
    dry_run: bool,
    as_json: bool,
    home: Path | None,
) -> None:
    """Delete old jobs from the database.

    Deletes answers, image rows, notes, history, prepared images, and uploads that no other job
    uses. Running and paused jobs stay, and so do the image files that you named. Paid replies stay
    in the ledger, so that the same question about the same images costs nothing later; --ledger
    deletes them too.
    """
    settings = settings_at(home)
    prepare_command(settings)
    services = planning_services(settings)
    with services.database.read() as connection:
        before = retention.cutoff(connection, older_than)
    console = Console(stderr=True)

    def show(job: OldJob) -> None:
        if not as_json:
            print_plain(console, _line(job))

    try:
        pruned = prune_jobs(services, before, label, ledger, dry_run, show)
    finally:
        services.close()
    if as_json:
        request = {"dry_run": dry_run, "before": before, "label": label, "ledger": ledger}
        click.echo(json_line(request | asdict(pruned)))
    else:
        click.echo(summary(pruned, before, dry_run))


def _line(job: OldJob) -> str:
    label = f" ({safe_line(job.label)})" if job.label else ""
    images = pluralize(job.images, "image")
    return f"job {job.id}{label}: {job.status} {_day(job.finished_at)}, {images}"


def summary(pruned: Pruned, before: float, dry_run: bool) -> str:
    """What was deleted, in one or two sentences."""
    paid = pluralize(pruned.calls + pruned.kept_calls, "paid reply", "paid replies")
    deleted = f"{'would delete' if dry_run else 'deleted'} {paid} from the ledger"
    uploads = f"{pluralize(pruned.uploads, 'upload')}, {pruned.upload_bytes / 1e6:.1f} MB"
    if not pruned.jobs:
        none = f"no job ended before {_day(before)}"
        others = [deleted] if pruned.calls else []
        if pruned.uploads:
            drops = "would delete" if dry_run else "deleted"
            others.append(f"{drops} what no job uses: {uploads}")
        return "; ".join([none, *others]) if others else f"nothing to prune: {none}"
    verb = "would prune" if dry_run else "pruned"
    text = (
        f"{verb} {pluralize(pruned.jobs, 'job')} that ended before {_day(before)}:"
        f" {pluralize(pruned.images, 'image row')}, {pluralize(pruned.nodes, 'node')},"
        f" {pluralize(pruned.events, 'event')};"
        f" {pluralize(pruned.blobs, 'prepared image')}, {pruned.blob_bytes / 1e6:.1f} MB"
    )
    if pruned.uploads:
        text += f"; {uploads}"
    if pruned.calls:
        return f"{text}\n{deleted}"
    return f"{text}\nkept {paid} in the ledger: the same requests cost nothing later"


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
