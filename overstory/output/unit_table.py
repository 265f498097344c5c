"""The answers about units for people: a list or a table on a terminal, a line each in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from core.answers.totals import value_at
from core.text.json_replies import line_of
from models.engine import Database
from models.reads import units
from models.reads.pipeline import JobRow
from models.reads.units import UnitRow
from overstory.output.answer_table import ROWS_SHOWN
from overstory.output.answers import Shape, shape_of_job
from overstory.output.cited import print_cited
from overstory.output.plural import pluralize
from overstory.output.terminal import print_plain, safe, safe_line
from overstory.output.unit_values import ordered, why_unanswered

UNANSWERED_SHOWN = 10
RUNS_SHOWN = 2
"""Of the positions of a unit; in most sets they are one run."""


def print_units(database: Database, job: JobRow) -> None:
    """Print the answer about each unit on stdout: on a terminal the first ROWS_SHOWN, texts as a
    list and objects as a table; in a pipe a line for each, because a program reads it."""
    shape = shape_of_job(job)
    if shape is None:
        return
    with database.read() as connection:
        groups = units.units(connection, job.id)
        errors = units.errors(connection, job.id)
    if not sys.stdout.isatty():
        sys.stdout.writelines(_line(shape, unit) for unit in groups if unit.answer is not None)
        return
    console = Console(highlight=False)
    view = _View(job, shape, groups, errors)
    console.print(Text(safe(shape.each or ""), "dim"))
    shown = groups[:ROWS_SHOWN]
    if shape.schema is None:
        view.print_texts(console, shown)
    else:
        console.print(view.table(shown))
    if len(groups) > ROWS_SHOWN:
        left = len(groups) - ROWS_SHOWN
        print_plain(console, f"and {left:,} more: overstory export {job.id} --format csv")
    print_cited(database, job, " ".join(line_of(unit.answer) for unit in shown if unit.answer))


def unanswered(job: JobRow, groups: Sequence[UnitRow], errors: Mapping[int, str]) -> Iterator[str]:
    """How many units have an answer, and if the job has ended, the first ones without one by name,
    with the reason."""
    without = [unit for unit in groups if unit.answer is None]
    copies = sum(unit.duplicate_of is not None for unit in groups)
    same = f", {copies:,} the same as an earlier one" if copies else ""
    yield f"{len(groups) - len(without):,} of {pluralize(len(groups), 'unit')} answered{same}"
    if not job.status.ended:
        return
    for unit in without[:UNANSWERED_SHOWN]:
        yield f"  {safe_line(unit.name)}: {safe_line(why_unanswered(job, unit, errors) or '')}"
    if len(without) > UNANSWERED_SHOWN:
        yield f"  and {pluralize(len(without) - UNANSWERED_SHOWN, 'more unit')}"


def _line(shape: Shape, unit: UnitRow) -> str:
    return f"{safe_line(unit.name)}: {line_of(ordered(shape, unit))}\n"


class _View:
    """How the units of one job look."""

    def __init__(
        self,
        job: JobRow,
        shape: Shape,
        groups: Sequence[UnitRow],
        errors: Mapping[int, str],
    ) -> None:
        self._job = job
        self._shape = shape
        self._errors = errors
        self._names = {unit.number: unit.name for unit in groups}

    def print_texts(self, console: Console, groups: Sequence[UnitRow]) -> None:
        for unit in groups:
            below = int(unit is not groups[-1])
            head = Text.assemble(self._name(unit), (f"  {', '.join(_positions(unit))}", "dim"))
            text = self._missing(unit) or Text(safe(str(unit.answer)))
            console.print(head, Padding(text, (0, 0, below, 2)), sep="\n")

    def table(self, groups: Sequence[UnitRow]) -> Table:
        drawn = Table()
        drawn.add_column(Text(safe_line(self._shape.by or "")), overflow="fold", max_width=40)
        drawn.add_column("images", justify="right", style="dim", no_wrap=True)
        for path in self._shape.columns:
            drawn.add_column(Text(safe(".".join(path)) or "answer"), overflow="fold")
        for unit in groups:
            drawn.add_row(self._name(unit), "\n".join(_positions(unit)), *self._cells(unit))
        return drawn

    def _name(self, unit: UnitRow) -> Text:
        earlier = self._names.get(unit.duplicate_of or 0)
        same = "" if earlier is None else f" (the same as {safe_line(earlier)})"
        return Text.assemble((safe_line(unit.name), "bold"), (same, "dim"))

    def _missing(self, unit: UnitRow) -> Text | None:
        why = why_unanswered(self._job, unit, self._errors)
        style = "red" if self._job.status.ended else "dim"
        return None if why is None else Text(safe_line(why), style)

    def _cells(self, unit: UnitRow) -> list[Text]:
        if (missing := self._missing(unit)) is not None:
            return [missing]
        answer = ordered(self._shape, unit)
        values = [value_at(answer, path) for path in self._shape.columns]
        return [Text("" if value is None else safe(line_of(value))) for value in values]


def _positions(unit: UnitRow) -> list[str]:
    """``[1-12]``, and how many of these images are not in the answer."""
    runs = spans(unit.positions)
    shown = [str(a) if a == b else f"{a}-{b}" for a, b in runs[:RUNS_SHOWN]]
    where = ", ".join([*shown, *(["…"] if len(runs) > RUNS_SHOWN else [])])
    counts = [(unit.coverage[name], name) for name in ("failed", "skipped")]
    return [f"[{where}]", *(f"{count:,} {name}" for count, name in counts if count)]


def spans(positions: Sequence[int]) -> list[tuple[int, int]]:
    """Ascending positions as their runs: ``1, 2, 3, 7`` is 1 to 3 and 7 to 7."""
    runs: list[tuple[int, int]] = []
    for position in positions:
        if runs and runs[-1][1] == position - 1:
            runs[-1] = (runs[-1][0], position)
        else:
            runs.append((position, position))
    return runs
