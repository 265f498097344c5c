"""Rows of an export: fields of the image, then its answer in one column or several."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from core.answers.json_schema import kind_of
from core.answers.totals import fields, value_at
from models.engine import Database
from models.reads import units
from models.reads.export import ImageExport, pages
from models.reads.pipeline import JobRow
from overstory.output.answers import Shape, shape_of_job
from overstory.output.plural import pluralize
from overstory.report.notes import notes_of, without_number

BASE = (
    *("position", "name", "location", "page", "status", "duplicate_of", "error_code", "error"),
    *("seen", "look", "unclear"),
)
INTEGERS = ("position", "page", "duplicate_of", "look")
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Column:
    """A column. ``kind`` is a JSON type: integer, number, boolean or string. ``path`` leads to its
    value inside the answer."""

    name: str
    kind: str
    path: tuple[str, ...] = ()


class Export:
    """A job's images as rows, each with the line about it, and with its answer if it has one."""

    def __init__(self, database: Database, job: JobRow) -> None:
        self._database = database
        self._job = job
        self._shape = None if job.options.by else shape_of_job(job)  # an image of a unit has none
        self._units = _names_of_units(database, job)
        self.columns = _columns(self._shape)
        if self._units:
            self.columns.insert(2, Column("unit", "string"))

    @property
    def count(self) -> str:
        """``40 images``: what the rows are about."""
        return pluralize(self._job.submitted, "image")

    def rows(self) -> Iterator[Row]:
        """One dict for each image. An answer that is an object stays one."""
        for page in pages(self._database, self._job.id, with_notes=self._shape is None):
            for image in page:
                row = {name: getattr(image, name) for name in BASE}
                row["status"] = str(image.status)
                row["note"] = self._note(image)
                if self._units:
                    row["unit"] = self._units.get(image.unit or 0)
                yield row if self._shape is None else row | {"answer": self._answer(image)}

    def cells(self, row: Row) -> list[Any]:
        """The row's values in the order of ``columns``; lists and objects as JSON text."""
        return [self._cell(column, row) for column in self.columns]

    def _cell(self, column: Column, row: Row) -> Any:
        is_answer = column.name.startswith("answer")
        value = value_at(row["answer"], column.path) if is_answer else row[column.name]
        return json.dumps(value, ensure_ascii=False) if isinstance(value, Mapping | list) else value

    def _note(self, image: ImageExport) -> str | None:
        """The line about the image; of a job without such lines, what its leaf's text says."""
        if image.note is not None:
            return without_number(image.note, image.position)
        return notes_of(image.notes, [image.position]).get(image.position)

    def _answer(self, image: ImageExport) -> Any:
        return self._shape.ordered(image.answer, image.position) if self._shape else None


def _names_of_units(database: Database, job: JobRow) -> dict[int, str]:
    if not job.options.by:
        return {}
    with database.read() as connection:
        return units.names(connection, job.id)


def _columns(shape: Shape | None) -> list[Column]:
    base = [Column(name, "integer" if name in INTEGERS else "string") for name in BASE]
    answers = [] if shape is None else answer_columns(shape)
    return [*base, Column("note", "string"), *answers]


def answer_columns(shape: Shape) -> list[Column]:
    if shape.schema is None:
        return [Column("answer", "string")]
    return [
        Column(".".join(("answer", *path)), _kind(schema), path)
        for path, schema in fields(shape.schema).items()
    ]


def _kind(schema: dict[str, Any]) -> str:
    kind = kind_of(schema)
    return kind if kind in ("integer", "number", "boolean") else "string"
