"""``overstory export JOB``."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import click
from rich.console import Console

from core.errors import WrongUsage
from overstory.export.parquet import write_parquet
from overstory.export.rows import Export
from overstory.export.writers import ORDER_MARK, WRITERS
from overstory.job_argument import find_job, home_option, job_argument
from overstory.output.plural import pluralize
from overstory.output.terminal import Screen, safe
from overstory.report.command import check_writable

SUFFIXES = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".parquet": "parquet"}
SUFFIXES |= {".md": "markdown", ".markdown": "markdown"}
FORMATS = (*WRITERS, "parquet")


@click.command()
@job_argument
@click.option("--format", "kind", type=click.Choice(FORMATS), help="Default: by the file's suffix.")
@click.option("--out", "-o", type=click.Path(path_type=Path), help="Default: stdout.")
@home_option
def export(job: str, kind: str | None, out: Path | None, home: Path | None) -> None:
    """Write a job's images, one row each, with the answer or the note about each.

    Objects take a column for each of their values in CSV, Parquet and Markdown.
    """
    kind = kind or _format_of(out)
    if kind == "parquet" and out is None:
        raise WrongUsage("Parquet is not for a terminal: name a file, like -o images.parquet")
    _, database, row = find_job(job, home)
    made = Export(database, row)
    if out is None:
        _to_stdout(made, kind)
        return
    check_writable(out, "export")
    _to_file(made, kind, out)
    said = safe(f"export: {out} ({pluralize(row.submitted, 'image')})")
    Console(stderr=True).print(said, markup=False, highlight=False, soft_wrap=True)


def _format_of(out: Path | None) -> str:
    if out is None:
        return "jsonl"
    if out.suffix.lower() not in SUFFIXES:
        raise WrongUsage(
            f"the format of {str(out)!r} is not clear: end it in {', '.join(SUFFIXES)},"
            " or say --format"
        )
    return SUFFIXES[out.suffix.lower()]


def _to_stdout(made: Export, kind: str) -> None:
    # JSON escapes by itself what a terminal would obey
    writer = Screen if sys.stdout.isatty() and kind != "jsonl" else io.TextIOWrapper
    raw = open(sys.stdout.fileno(), "wb", closefd=False)  # noqa: SIM115 -- it stays open
    stream = writer(raw, encoding="utf-8", errors="backslashreplace", newline="")
    try:
        WRITERS[kind](made, stream)
        stream.flush()
    except BrokenPipeError:  # the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _to_file(made: Export, kind: str, out: Path) -> None:
    """A reader of ``out`` never sees half of it."""
    partial = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        if kind == "parquet":
            write_parquet(made, partial)
        else:
            with partial.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
                file.write(ORDER_MARK if kind == "csv" else "")
                WRITERS[kind](made, file)
        partial.replace(out)
    except OSError as error:
        raise WrongUsage(
            f"the export {str(out)!r} cannot be written: {error.strerror}; name another place"
        ) from None
    finally:
        partial.unlink(missing_ok=True)
