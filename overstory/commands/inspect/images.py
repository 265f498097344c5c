"""``overstory images``: the images of one job."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click
from rich.text import Text

from core.states import ImageStatus
from models.reads import inspect
from models.reads.inspect import ImageLine
from overstory.job_argument import find_job, job_argument
from overstory.options import home_option, json_option, status_option
from overstory.output.tables import coloured, print_json, stdout_console, table
from overstory.output.terminal import safe


@click.command()
@job_argument
@status_option(ImageStatus)
@json_option
@home_option
def images(job: str, statuses: tuple[str, ...], as_json: bool, home: Path | None) -> None:
    """List a job's images, and the reason for each failed one."""
    _, database, row = find_job(job, home)
    with database.read() as connection:
        lines = inspect.images(connection, row.id, statuses)
    if as_json:
        print_json([asdict(image) for image in lines])
        return
    if not lines:
        click.echo(f"none of the {row.submitted:,} images is {' or '.join(statuses)}")
        return
    drawn = table("=#", "name", "status", "=sent as", "=tokens", "reason")
    for image in lines:
        drawn.add_row(
            str(image.position),
            Text(image.name),
            coloured(image.status),
            f"{image.width}x{image.height}" if image.width else "",
            f"{image.tokens:,}" if image.tokens else "",
            Text(_reason(image)),
        )
    stdout_console().print(drawn)


def _reason(image: ImageLine) -> str:
    if image.duplicate_of:
        return f"same as {image.duplicate_of}"
    return safe(image.error or image.remarks or "")
