"""``overstory jobs``: the list of jobs, drawn for the width of the screen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from core.access import LOCAL
from core.states import JobStatus
from models.engine import Database
from models.reads import inspect
from models.reads.inspect import JobLine
from overstory.local.home import prepare_command
from overstory.options import home_option, json_option, settings_at, status_option, valid_text
from overstory.output.progress import duration
from overstory.output.tables import (
    UNBROKEN,
    clipped,
    clock,
    colour,
    coloured,
    print_json,
    stdout_console,
    table,
    values,
)
from overstory.output.terminal import safe_line
from workers.endpoints import database_url
from workers.loading import loaded

QUESTION_WIDTH = 60
QUESTION_LEAST = 40
"""With less room than this, questions get no column of their own."""
COLUMNS = ("job", "status", "images", "failed", "cost", "took", "began")
OWNED_COLUMNS = (*COLUMNS, "owner")
"""Where some job was submitted with a token of the HTTP API."""
GAP = "  "


@click.command()
@status_option(JobStatus)
@click.option("--label", callback=valid_text, help="List only jobs with this label.")
@click.option(
    "--owner",
    callback=valid_text,
    help=f"List only jobs of this token; {LOCAL}: jobs without a token.",
)
@click.option(
    "--limit", "-n", type=click.IntRange(1), default=50, help="Most jobs to list. Default: 50."
)
@json_option
@home_option
def jobs(
    statuses: tuple[str, ...],
    label: str | None,
    owner: str | None,
    limit: int,
    as_json: bool,
    home: Path | None,
) -> None:
    """List jobs, the newest first."""
    settings = settings_at(home)
    prepare_command(settings)
    with Database(database_url(settings)).read() as connection:
        lines = inspect.jobs(connection, statuses, label, limit, owner)
    if as_json:
        print_json([values(job) for job in lines])
    elif lines:
        console = stdout_console()
        console.print(draw_jobs(lines, console.width))
        if any(job.status == JobStatus.RUNNING for job in lines):
            nobody = loaded("overstory.local.hindrances").nobody_works(settings)
            if nobody:
                console.print(Text(f"running {nobody}", "yellow"), soft_wrap=True)
    elif statuses or label is not None or owner is not None:
        click.echo("no job matches: leave out --status, --label and --owner to see all jobs")
    else:
        click.echo("no jobs yet: start one with 'overstory run PATH --ask QUESTION'")


def draw_jobs(jobs: Sequence[JobLine], width: int) -> RenderableType:
    """A table with the questions in it, if it fits ``width``. Else each question goes below its
    job. If the other columns do not fit either, every job becomes a paragraph."""
    columns = OWNED_COLUMNS if any(job.owner for job in jobs) else COLUMNS
    rows = [_cells(job)[: len(columns)] for job in jobs]
    widths = [max(map(cell_len, column)) for column in zip(columns, *rows, strict=True)]
    needed = sum(widths) + len(GAP) * (len(widths) - 1)
    if needed + QUESTION_LEAST <= width:
        return _draw_table(jobs, rows, columns)
    if needed > width:
        return Group(*(_paragraph(job, width) for job in jobs))
    lines: list[RenderableType] = [Text(GAP.join(_justified(columns, widths)), "dim")]
    for job, cells in zip(jobs, rows, strict=True):
        name, status, *rest = _justified(cells, widths)
        line = Text.assemble(f"{name}{GAP}", (status, colour(job.status)), GAP, GAP.join(rest))
        lines += [line, _question_line(job, width)]
    return Group(*lines)


def _draw_table(
    jobs: Sequence[JobLine], rows: Sequence[Sequence[str]], columns: Sequence[str]
) -> Table:
    heads = [name if name in UNBROKEN else f"={name}" for name in columns]
    drawn = table(*heads, "question")
    for job, (name, _, *rest) in zip(jobs, rows, strict=True):
        question = clipped(_question(job), QUESTION_WIDTH)
        drawn.add_row(name, coloured(job.status), *rest, Text(question))
    return drawn


def _cells(job: JobLine) -> tuple[str, ...]:
    """The cells of OWNED_COLUMNS."""
    return (
        job.id,
        str(job.status),
        f"{job.included:,}/{job.submitted:,}",
        f"{job.failed:,}" if job.failed else "",
        f"{job.cost:.4f} {job.currency}",
        duration(job.seconds),
        clock(job.created_at),
        job.owner or "",
    )


def _justified(cells: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [
        cell.ljust(width) if name in UNBROKEN else cell.rjust(width)
        for name, cell, width in zip(OWNED_COLUMNS, cells, widths, strict=False)
    ]


def _paragraph(job: JobLine, width: int) -> RenderableType:
    name, _, images, failed, *rest, owner = _cells(job)
    facts = [f"{images} images", *([f"{failed} failed"] if failed else []), *rest]
    facts += [f"of {owner}"] if owner else []
    return Group(
        Text.assemble(f"{name}{GAP}", coloured(job.status)),
        Padding(Text(", ".join(facts)), (0, 0, 0, len(GAP))),
        _question_line(job, width),
    )


def _question_line(job: JobLine, width: int) -> RenderableType:
    """The question below its job: one line, or two on a narrow screen."""
    question = clipped(_question(job), max(QUESTION_WIDTH, width - len(GAP)))
    return Padding(Text(question, "dim"), (0, 0, 0, len(GAP)))


def _question(job: JobLine) -> str:
    return safe_line(f"[{job.label}] {job.ask}" if job.label else job.ask)
