"""The rows of an export of a job by units: one for each unit."""

from __future__ import annotations

from collections.abc import Iterator

from core.errors import WrongUsage
from models.engine import Database
from models.reads import units
from models.reads.export import facts_of_units
from models.reads.pipeline import JobRow
from overstory.export.rows import Column, Export, Row, answer_columns, fact_columns
from overstory.output.answers import shape_of_job
from overstory.output.plural import pluralize
from overstory.output.unit_values import ordered, rounded, why_unanswered

COUNTS = ("submitted", *map(str, units.COVERED))
ROWS = ("units", "images")


def export_of(database: Database, job: JobRow, rows: str | None = None) -> Export:
    """The rows to export of a job: ``rows`` is one of ROWS; None: the units of a job by units, else
    the images. Raises WrongUsage for the units of a job without any."""
    if rows == "images" or (rows is None and not job.options.by):
        return Export(database, job)
    if not job.options.by:
        raise WrongUsage(
            f"job {job.id} is not by units: leave out rows, or ask about units: overstory run"
            " PATHS --by folder --each TEXT"
        )
    return UnitExport(database, job)


class UnitExport(Export):
    """A job's units as rows, each with its answer, the number of its images in each state, their
    positions, its cost, and the facts that all of its images share."""

    def __init__(self, database: Database, job: JobRow) -> None:
        super().__init__(database, job)
        self._asked = shape_of_job(job)
        self.columns = [
            Column("number", "integer"),
            Column("unit", "string"),
            *([] if self._asked is None else answer_columns(self._asked)),
            Column("error", "string"),
            *(Column(name, "integer") for name in COUNTS),
            Column("duplicate_of", "integer"),
            Column("images", "string"),
            Column("cost", "number"),
        ]
        self._shared = facts_of_units(database, job.id)
        self._facts = fact_columns(self.columns, self._shared.values())
        self.columns += self._facts

    @property
    def count(self) -> str:
        return pluralize(len(self._units), "unit")

    def rows(self) -> Iterator[Row]:
        """One dict for each unit. An answer that is an object stays one."""
        with self._database.read() as connection:
            groups = units.units(connection, self._job.id)
            errors = units.errors(connection, self._job.id)
        for unit in groups:
            yield {
                "number": unit.number,
                "unit": unit.name,
                "answer": ordered(self._asked, unit) if self._asked else unit.answer,
                "error": why_unanswered(self._job, unit, errors),
                **unit.coverage,
                "duplicate_of": unit.duplicate_of,
                "images": unit.positions,
                "cost": rounded(unit),
                **self.told(self._shared.get(unit.number, {})),
            }
