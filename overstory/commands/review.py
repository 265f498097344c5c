"""``overstory review JOB``."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from clients.private_files import for_the_person
from core.errors import WrongUsage
from overstory.job_argument import find_job, job_argument
from overstory.options import home_option
from overstory.output.plural import pluralize
from overstory.output.terminal import print_plain
from overstory.report.command import check_writable
from overstory.report.page import review_page
from overstory.report.review import review_data


@click.command()
@job_argument
@click.option(
    "--sample",
    type=click.IntRange(1, 1000),
    default=50,
    show_default=True,
    help="Images to judge, drawn by chance.",
)
@click.option(
    "--seed", type=int, default=1, show_default=True, help="Another seed draws other images."
)
@click.option(
    "--out",
    "-o",
    type=click.Path(path_type=Path),
    help="The file to write (default: overstory-review-JOB.html in this folder).",
)
@click.option("--open", "open_it", is_flag=True, help="Open it in the browser.")
@home_option
def review(
    job: str, sample: int, seed: int, out: Path | None, open_it: bool, home: Path | None
) -> None:
    """Write a page on which a person judges a sample of a job's answers.

    The page shows one image at a time. It saves a file that 'overstory check --truth' reads.
    """
    settings, database, row = find_job(job, home)
    path = out or Path(f"overstory-review-{row.id}.html")
    check_writable(path, "review")
    data = review_data(settings, database, row, sample, seed)
    try:
        with for_the_person(path) as file:
            file.write(review_page(data).encode())
    except OSError as error:
        raise WrongUsage(
            f"cannot write the review {str(path)!r}: {error.strerror}; choose another path"
        ) from None
    images = f"{len(data['items'])} of {pluralize(data['answered'], 'answered image')}"
    print_plain(Console(stderr=True), f"review: {path} ({images}, seed {seed})")
    if open_it:
        click.launch(str(path))
