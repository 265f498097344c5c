"""``overstory report JOB``, and the file behind ``overstory run --report``."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import click
from rich.console import Console

from clients.blobs import open_blobs
from core.errors import WrongUsage
from core.settings import Settings
from models.engine import Database
from models.reads.pipeline import JobRow
from overstory.job_argument import find_job, job_argument
from overstory.options import home_option
from overstory.output.terminal import safe
from overstory.report.data import report_data
from overstory.report.page import page
from tasks.preprocess import limits_of


@click.command()
@job_argument
@click.option(
    "--out",
    "-o",
    type=click.Path(path_type=Path),
    help="Where to write it (default: overstory-JOB.html here).",
)
@click.option("--open", "open_it", is_flag=True, help="Show it in the browser.")
@home_option
def report(job: str, out: Path | None, open_it: bool, home: Path | None) -> None:
    """Write one HTML file that shows the answer and every image behind it.

    The file needs nothing else: it can be sent, kept and read offline. A job that still runs is
    shown with what it has.
    """
    settings, database, row = find_job(job, home)
    path = out or Path(f"overstory-{row.id}.html")
    check_writable(path)
    write_report(settings, database, row, path)
    say_written(Console(stderr=True), path)
    if open_it:
        click.launch(str(path))


def check_writable(path: Path, what: str = "report") -> None:
    """Raises WrongUsage when a file cannot be written to ``path``, before anything is paid."""
    folder = path.parent
    if path.is_dir():
        raise WrongUsage(f"the {what} {str(path)!r} is a folder: name a file in it")
    if path.exists() and not path.is_file():  # a file takes its place, once it is written
        raise WrongUsage(f"the {what} {str(path)!r} is a device or a pipe: name a file")
    if not folder.is_dir():
        raise WrongUsage(
            f"the {what} {str(path)!r} cannot be written: there is no folder {str(folder)!r}"
        )
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
        if path.exists():
            with path.open("ab"):
                pass
    except OSError as error:
        raise WrongUsage(
            f"the {what} {str(path)!r} cannot be written: {error.strerror}; name another place"
        ) from None


def write_report(settings: Settings, database: Database, job: JobRow, path: Path) -> None:
    """Write the report on ``job``; a reader of ``path`` never sees half of it."""
    blobs = open_blobs(settings.blob_url, settings.home)
    text = page(report_data(database, job, blobs, limits_of(settings), time.time()))
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise WrongUsage(
            f"the report {str(path)!r} cannot be written: {error.strerror}; name another place"
        ) from None


def say_written(console: Console, path: Path) -> None:
    size = path.stat().st_size / 1e6
    said = safe(f"report: {path} ({size:.1f} MB)")
    console.print(said, markup=False, highlight=False, soft_wrap=True)
