"""``overstory images``: the images of one job."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path

import click
from rich.table import Table
from rich.text import Text

from core.states import ImageStatus, Seen
from models.reads import parts
from models.reads.inspect import ImageLine
from overstory.job_argument import find_job, job_argument
from overstory.options import home_option, json_option, status_option
from overstory.output import looks
from overstory.output.proof import ONLY_SENT
from overstory.output.tables import coloured, print_json_array, stdout_console, table
from overstory.output.terminal import safe, safe_line
from overstory.output.unit_values import image_value, names_of_units

TABLE_ROWS = 1_000
"""A table with more rows goes on as another one: rich holds a whole table in memory."""


@click.command()
@job_argument
@status_option(ImageStatus)
@click.option(
    "--unseen",
    is_flag=True,
    help="List only images without a proof that the model saw them: only sent, or failed for it.",
)
@click.option(
    "--similar-to",
    type=click.IntRange(min=1),
    metavar="N",
    help="List only images that were left out because they are similar to image N.",
)
@click.option("--notes", is_flag=True, help="Also show the line that the model wrote about each.")
@json_option
@home_option
def images(
    job: str,
    statuses: tuple[str, ...],
    unseen: bool,
    similar_to: int | None,
    notes: bool,
    as_json: bool,
    home: Path | None,
) -> None:
    """List a job's images, and the reason for each failed one.

    The column "seen" says what shows that the model saw an included image: an answer or a line of
    its own, or nothing: then it was only sent.
    """
    _, database, row = find_job(job, home)
    names = names_of_units(database, row)
    lines = parts.lines_in_pages(database, row.id, statuses, unseen, similar_to)
    if as_json:
        print_json_array(image_value(image, names) for image in lines)
        return
    if not print_tables(lines, notes, names):
        asked = [*([" or ".join(statuses)] if statuses else []), *(["unseen"] if unseen else [])]
        asked += [f"similar to [{similar_to}]"] if similar_to else []
        click.echo(f"none of the {row.submitted:,} images is {' and '.join(asked)}")


def print_tables(lines: Iterator[ImageLine], notes: bool, names: Mapping[int, str]) -> int:
    """Print images as tables of TABLE_ROWS; returns the number of tables."""
    console, count = stdout_console(), 0
    while rows := list(islice(lines, TABLE_ROWS)):
        console.print(_draw(rows, notes, names))
        count += 1
    return count


def _draw(lines: Iterable[ImageLine], notes: bool, names: Mapping[int, str]) -> Table:
    drawn = table(
        *("=#", "name", *(["unit"] if names else [])),
        *("status", "seen", "=size", "=tokens", "reason"),
        *(["line"] if notes else []),
    )
    for image in lines:
        drawn.add_row(
            str(image.position),
            Text(image.name),
            *([Text(safe_line(names.get(image.unit or 0, "")))] if names else []),
            coloured(image.status),
            _seen(image),
            f"{image.width}x{image.height}" if image.width else "",
            f"{image.tokens:,}" if image.tokens else "",
            Text(_reason(image)),
            *([Text(safe(image.note or ""))] if notes else []),
        )
    return drawn


def _seen(image: ImageLine) -> Text:
    if image.seen == Seen.SENT:
        return Text(ONLY_SENT, "yellow")
    return Text(image.seen or "", "green")


def _reason(image: ImageLine) -> str:
    if image.duplicate_of:
        return f"same as {image.duplicate_of}"
    parts = (looks.mark(image), image.error or image.remarks or "")
    return safe("; ".join(part for part in parts if part))
