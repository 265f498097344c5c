"""``overstory export JOB``."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from clients.private_files import for_the_person
from core.errors import WrongUsage
from overstory.export.parquet import write_parquet
from overstory.export.rows import Export
from overstory.export.sidecar_options import beside_the_pictures, sidecar_options, wanted_sidecars
from overstory.export.units import ROWS, export_of
from overstory.export.writers import ORDER_MARK, WRITERS
from overstory.job_argument import find_job, job_argument
from overstory.options import home_option
from overstory.output.terminal import Screen, print_plain
from overstory.report.command import check_writable

SUFFIXES = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".parquet": "parquet"}
SUFFIXES |= {".md": "markdown", ".markdown": "markdown"}
FORMATS = (*WRITERS, "parquet")


@click.command()
@job_argument
@click.option("--format", "kind", type=click.Choice(FORMATS), help="Default: by suffix, or jsonl.")
@click.option(
    "--rows",
    "what",
    type=click.Choice(ROWS),
    help="A row for each unit or image. Default: units, if the job is by units.",
)
@click.option("--out", "-o", type=click.Path(path_type=Path), help="File. Default: stdout.")
@sidecar_options
@home_option
def export(
    job: str,
    kind: str | None,
    what: str | None,
    out: Path | None,
    home: Path | None,
    **sidecars: Any,
) -> None:
    """Export a job's images, one row for each.

    A row has the line about the image, what shows that the model saw it, and its answer if each
    image was asked. In CSV, Parquet and Markdown each value of an object has its own column. Of a
    job by units (--by), a row is a unit: its answer, coverage, image positions, cost.

    With --sidecar, a file is written beside each picture instead, where photo programs (xmp) or
    training tools (txt) read it. No picture is touched, and no file that we did not write.
    """
    if wanted := wanted_sidecars(sidecars):
        if kind or what or out:
            raise WrongUsage(
                "--sidecar writes beside the pictures: leave out --format, --rows and --out"
            )
        beside_the_pictures(job, home, wanted, sidecars)
    kind = kind or _format_of(out)
    if kind == "parquet" and out is None:
        raise WrongUsage("Parquet cannot be printed: name a file, like -o images.parquet")
    _, database, row = find_job(job, home)
    rows = export_of(database, row, what)
    if out is None:
        _to_stdout(rows, kind)
        return
    check_writable(out, "export")
    _to_file(rows, kind, out)
    print_plain(Console(stderr=True), f"export: {out} ({rows.count})")


def _format_of(out: Path | None) -> str:
    if out is None:
        return "jsonl"
    if out.suffix.lower() not in SUFFIXES:
        raise WrongUsage(
            f"{str(out)!r} does not name a format: use the suffix {', '.join(SUFFIXES)}, or give"
            " --format"
        )
    return SUFFIXES[out.suffix.lower()]


def _to_stdout(rows: Export, kind: str) -> None:
    on_terminal = sys.stdout.isatty()
    writer = Screen if on_terminal and kind != "jsonl" else io.TextIOWrapper
    raw = open(sys.stdout.fileno(), "wb", closefd=False)  # noqa: SIM115 -- it stays open
    stream = writer(raw, encoding="utf-8", errors="backslashreplace", newline="")
    try:
        for piece in WRITERS[kind](rows, on_terminal):
            stream.write(piece)
        stream.flush()
    except BrokenPipeError:  # the reader closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _to_file(rows: Export, kind: str, out: Path) -> None:
    """Write a file beside ``out``, then rename it, so that a reader never sees half of it."""
    try:
        with for_the_person(out) as raw:
            if kind == "parquet":
                write_parquet(rows, raw)
                return
            file = io.TextIOWrapper(raw, "utf-8", errors="backslashreplace", newline="")
            file.write(ORDER_MARK if kind == "csv" else "")
            file.writelines(WRITERS[kind](rows, False))
            file.flush()
            file.detach()
    except OSError as error:
        raise WrongUsage(
            f"the export {str(out)!r} cannot be written: {error.strerror}; name another place"
        ) from None
