"""``overstory export JOB --sidecar txt|xmp``: its options, and what it prints."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import click
from rich.console import Console

from core.errors import WrongUsage
from core.states import JobStatus
from overstory.export.captions import Captions
from overstory.export.sidecars import Wanted, write_sidecars
from overstory.job_argument import find_job
from overstory.output.result import EXIT_STATUS
from overstory.output.terminal import print_plain

KINDS = ("txt", "xmp")


def sidecar_options(command: Any) -> Any:
    """The options of files beside the pictures."""
    for option in reversed(
        (
            click.option(
                "--sidecar",
                type=click.Choice(KINDS),
                help="Write a file beside each picture: photo.txt with its caption, or photo.xmp"
                " with description, title and keywords.",
            ),
            click.option(
                "--caption",
                metavar="FIELD",
                help="Field of the answer that is the caption, or note. Default: the answer; of an"
                " object its caption, description or first text; else the line about the image.",
            ),
            click.option(
                "--keywords",
                metavar="FIELD",
                multiple=True,
                help="Field with keywords; may be given several times. A yes is the name of its"
                " field. Default for xmp: the first list of texts, and the unit. txt takes them"
                " only if they are named.",
            ),
            click.option(
                "--full-name",
                is_flag=True,
                help="Call them photo.jpg.xmp, as darktable and digiKam do, not photo.xmp.",
            ),
            click.option(
                "--into",
                type=click.Path(file_okay=False, path_type=Path),
                metavar="FOLDER",
                help="Write them below this folder, not beside the pictures: for read-only folders,"
                " URLs, pages of documents, uploads.",
            ),
            click.option(
                "--overwrite",
                is_flag=True,
                help="Also replace files that are not ours; they are kept as photo.xmp_original.",
            ),
        )
    ):
        command = option(command)
    return command


def wanted_sidecars(options: Mapping[str, Any]) -> Wanted | None:
    """What the options ask for; None without --sidecar. Raises WrongUsage for others alone."""
    if options["sidecar"] is None:
        if given := [name for name, value in options.items() if value]:
            name = given[0].replace("_", "-")
            raise WrongUsage(f"--{name} is about files beside the pictures: give --sidecar txt|xmp")
        return None
    return Wanted(
        kind=options["sidecar"],
        full=options["full_name"],
        into=options["into"],
        overwrite=options["overwrite"],
    )


def beside_the_pictures(
    job: str, home: Path | None, wanted: Wanted, options: Mapping[str, Any]
) -> NoReturn:
    """Write the files, say what became of them, and exit: with 3 if some could not be written."""
    settings, database, row = find_job(job, home)
    captions = Captions(row, options["caption"], options["keywords"], wanted.kind == "txt")
    tally = write_sidecars(database, row, captions, wanted, settings.home)
    console = Console(stderr=True)
    for sentence in tally.sentences(wanted):
        print_plain(console, sentence)
    sys.exit(0 if tally.is_whole else EXIT_STATUS[JobStatus.PARTIAL])
