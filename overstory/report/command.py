"""``overstory report JOB``, and the file behind ``overstory run --report``."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console

from clients.blobs import open_blobs
from clients.images.decoder import Decoder
from clients.private_files import for_the_person
from clients.uploads import open_uploads
from core.errors import WrongUsage
from core.settings import Settings
from models.engine import Database
from models.reads.pipeline import JobRow
from overstory.checking import Check, check_job
from overstory.job_argument import find_job, job_argument
from overstory.options import home_option
from overstory.output.plural import pluralize
from overstory.output.terminal import safe
from overstory.report.accuracy import accuracy
from overstory.report.data import report_data
from overstory.report.page import page
from overstory.report.paging import Page
from overstory.truth_file import read_truth, truth_options


@click.command()
@job_argument
@click.option(
    "--out",
    "-o",
    type=click.Path(path_type=Path),
    help="The file to write (default: overstory-JOB.html in this folder).",
)
@click.option("--open", "open_it", is_flag=True, help="Open it in the browser.")
@truth_options
@home_option
def report(
    job: str,
    out: Path | None,
    open_it: bool,
    truth_file: Path | None,
    rules: tuple[str, ...],
    name_column: str | None,
    home: Path | None,
) -> None:
    """Write one HTML file that shows the answer and every image behind it.

    The file is self-contained: it can be sent, kept and read offline. Above 40,000 images it has
    further pages, as files beside it. For a job that still runs it shows what is there so far.
    With a truth file it also shows how many answers are right, and each mistake with its picture.
    """
    truth = truth_file and read_truth(truth_file, name_column)
    if truth is None and (rules or name_column):
        raise WrongUsage("--rule and --name-column are about a truth file: name it by --truth")
    settings, database, row = find_job(job, home)
    path = out or Path(f"overstory-{row.id}.html")
    check_writable(path)
    checked = check_job(database, row, truth, rules) if truth else None
    written = write_report(settings, database, row, path, checked)
    say_written(Console(stderr=True), written)
    if open_it:
        click.launch(str(path))


def check_writable(path: Path, what: str = "report") -> None:
    """Raises WrongUsage if ``path`` cannot be written: checked before anything is paid."""
    folder = path.parent
    if path.is_dir():
        raise WrongUsage(
            f"cannot write the {what} {str(path)!r}: it is a folder; name a file in it"
        )
    if path.exists() and not path.is_file():  # it would be replaced by the new file
        raise WrongUsage(f"cannot write the {what} {str(path)!r}: it is a device or a pipe")
    if not folder.is_dir():
        raise WrongUsage(
            f"cannot write the {what} {str(path)!r}: the folder {str(folder)!r} does not exist"
        )
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
        if path.exists():
            with path.open("ab"):
                pass
    except OSError as error:
        raise WrongUsage(
            f"cannot write the {what} {str(path)!r}: {error.strerror}; choose another path"
        ) from None


def report_text(
    settings: Settings,
    database: Database,
    job: JobRow,
    checked: Check | None = None,
    part: Page | None = None,
) -> str:
    """The report on ``job`` as HTML. With ``checked`` it shows how the answers compare with a truth
    file. ``part``: the page of a large one; None: the first."""
    blobs = open_blobs(settings.blob_url, settings.home)
    decoder = Decoder(settings.decoder_limits)
    uploads = open_uploads(settings.blob_url, settings.home)
    limits = settings.image_limits
    data = report_data(database, job, blobs, uploads, limits, decoder, time.time(), part)
    data["accuracy"] = accuracy(checked) if checked else None
    if checked and data["page"]:  # mistakes are shown with their pictures
        here = {image["n"] for image in data["images"]}
        wrong = data["accuracy"]["wrong"]
        data["accuracy"]["wrong"] = [mistake for mistake in wrong if mistake[0] in here]
    return page(data)


def write_report(
    settings: Settings, database: Database, job: JobRow, path: Path, checked: Check | None = None
) -> list[Path]:
    """Write the report on ``job`` to ``path``, and of a large job the other pages beside it. Each
    file is written as a whole: it replaces the old one at the end. Returns their paths."""
    written = []
    for file_path, part in Page.all_of(job.submitted, path):
        text = report_text(settings, database, job, checked, part)
        try:
            with for_the_person(file_path) as file:
                file.write(text.encode())
        except OSError as error:
            raise WrongUsage(
                f"cannot write the report {str(file_path)!r}: {error.strerror}; choose another path"
            ) from None
        written.append(file_path)
    return written


def say_written(console: Console, paths: Sequence[Path]) -> None:
    size = sum(path.stat().st_size for path in paths) / 1e6
    pages = f" and {pluralize(len(paths) - 1, 'page')} beside it" if len(paths) > 1 else ""
    line = safe(f"report: {paths[0]}{pages} ({size:.1f} MB)")
    console.print(line, markup=False, highlight=False, soft_wrap=True)
