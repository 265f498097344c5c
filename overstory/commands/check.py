"""``overstory check JOB --truth FILE``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from core.errors import WrongUsage
from core.truth.score import Confusion, FieldScore
from overstory.checking import Check, check_job, json_of
from overstory.job_argument import find_job, job_argument
from overstory.options import home_option, json_option
from overstory.output.plural import pluralize
from overstory.output.tables import clipped, print_json, stdout_console, table
from overstory.output.terminal import print_plain, safe_line
from overstory.report.command import check_writable, say_written, write_report
from overstory.truth_file import read_truth, truth_options

SHOWN = 10
"""Confusions in the table; ``--json`` gives all."""
NAMES = 3
CELL = 32


@click.command()
@job_argument
@truth_options
@click.option(
    "--report",
    type=click.Path(path_type=Path),
    help="Also write the HTML report, with the picture, answer and truth of each mistake.",
)
@json_option
@home_option
def check(
    job: str,
    truth_file: Path | None,
    rules: tuple[str, ...],
    name_column: str | None,
    report: Path | None,
    as_json: bool,
    home: Path | None,
) -> None:
    """Compare a job's answers with what you know of its images.

    For each field it prints how many answers are right, with the 95 % interval of the share, and
    the most frequent mistakes. The job needs an answer about each image ('run --each').
    """
    if truth_file is None:
        raise WrongUsage(
            "what is true? Name a file: --truth FILE. Without one, judge a sample of the answers:"
            f" overstory review {job}"
        )
    truth = read_truth(truth_file, name_column)
    if report is not None:
        check_writable(report)
    settings, database, row = find_job(job, home)
    checked = check_job(database, row, truth, rules)
    if report is not None:
        say_written(Console(stderr=True), write_report(settings, database, row, report, checked))
    if as_json:
        print_json(json_of(checked))
        return
    console = stdout_console()
    _print_fields(console, checked)
    _print_confusions(console, checked.score.confusions)
    for line in _remarks(checked):
        print_plain(console, line)
    if checked.score.wrong and report is None:
        print_plain(console, "--report FILE shows the picture, answer and truth of each mistake")


def _print_fields(console: Console, checked: Check) -> None:
    drawn = table(
        "field", "=right", "=of", "=share", "=95 % interval", "=unanswered", "rule", "mean"
    )
    for name, field in checked.score.fields.items():
        drawn.add_row(
            Text(safe_line(name)),
            str(field.right),
            str(field.of),
            f"{field.right / field.of:.0%}" if field.of else "-",
            f"{field.low:.0%} to {field.high:.0%}" if field.of else "-",
            str(field.unanswered),
            str(field.rule),
            _mean(field),
        )
    console.print(drawn)


def _mean(field: FieldScore) -> str:
    mean = field.figure
    if mean is None:
        return ""
    numbers = f"{mean.mean:.3g} ({mean.low:.3g} to {mean.high:.3g})"
    return f"{field.rule.figure_name} {numbers}"


def _print_confusions(console: Console, confusions: Sequence[Confusion]) -> None:
    if not confusions:
        return
    drawn = table("field", "truth", "answer", "=times", "files")
    for confusion in confusions[:SHOWN]:
        drawn.add_row(
            Text(safe_line(confusion.field)),
            _cell(confusion.truth),
            _cell(confusion.answer),
            str(confusion.count),
            Text(_listed(confusion.names, confusion.count)),
        )
    console.print()
    console.print(drawn)
    if (more := len(confusions) - SHOWN) > 0:
        print_plain(console, f"and {pluralize(more, 'other mistake')}: --json lists all")


def _cell(value: Any) -> Text:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return Text(clipped(safe_line(text), CELL))


def _listed(names: Sequence[str], count: int) -> str:
    """The first names, and that there are more."""
    dots = ", …" if count > len(names[:NAMES]) else ""
    return ", ".join(clipped(safe_line(name), CELL) for name in names[:NAMES]) + dots


def _remarks(checked: Check) -> list[str]:
    """What was compared, and what was not."""
    what = "unit" if checked.by_units else "image"
    of = pluralize(checked.labelled, f"labelled {what}")
    lines = ["", f"{checked.matched} of {of} found in job {checked.job}"]
    if checked.waiting:
        lines.append(f"{pluralize(checked.waiting, what)} not answered yet, so not compared")
    for names, why in (
        (checked.unmatched, "not in the job"),
        (checked.ambiguous, "ambiguous: write more of the path"),
        (checked.left_out, "not a field of the answers, so not compared"),
    ):
        if names:
            lines.append(f"{len(names)} {why}: {_listed(names, len(names))}")
    return lines
