"""Rows of an export: fields of the image, then its answer in one column or several."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from core.answers.json_schema import kind_of
from core.answers.totals import fields, value_at
from models.engine import Database
from models.reads.export import ImageExport, pages
from models.reads.pipeline import JobRow
from overstory.output.answers import Shape, shape_of_job
from overstory.report.notes import notes_of

BASE = ("position", "name", "location", "page", "status", "duplicate_of", "error_code", "error")
INTEGERS = ("position", "page", "duplicate_of")
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Column:
    """A column. ``kind`` is a JSON type: integer, number, boolean or string. ``path`` leads to its
    value inside the answer."""

    name: str
    kind: str
    path: tuple[str, ...] = ()


class Export:
    """A job's images as rows, each with its answer, or with its note if the job asks for text."""

    def __init__(self, database: Database, job: JobRow) -> None:
        self._database = database
        self._job = job
        self._shape = shape_of_job(job)
        self.columns = _columns(self._shape)

    def rows(self) -> Iterator[Row]:
        """One dict for each image. An answer that is an object stays one."""
        for page in pages(self._database, self._job.id, with_notes=self._shape is None):
            for image in page:
                row = {name: getattr(image, name) for name in BASE}
                row["status"] = str(image.status)
                yield row | self._answer(image)

    def cells(self, row: Row) -> list[Any]:
        """The row's values in the order of ``columns``; lists and objects as JSON text."""
        return [self._cell(column, row) for column in self.columns]

    def _cell(self, column: Column, row: Row) -> Any:
        if not column.name.startswith("answer"):
            return row[column.name]
        value = value_at(row["answer"], column.path)
        return json.dumps(value, ensure_ascii=False) if isinstance(value, Mapping | list) else value

    def _answer(self, image: ImageExport) -> Row:
        if self._shape is None:
            return {"note": notes_of(image.notes, [image.position]).get(image.position)}
        return {"answer": self._shape.ordered(image.answer, image.position)}


def _columns(shape: Shape | None) -> list[Column]:
    base = [Column(name, "integer" if name in INTEGERS else "string") for name in BASE]
    return [*base, *([Column("note", "string")] if shape is None else _answer_columns(shape))]


def _answer_columns(shape: Shape) -> list[Column]:
    if shape.schema is None:
        return [Column("answer", "string")]
    return [
        Column(".".join(("answer", *path)), _kind(schema), path)
        for path, schema in fields(shape.schema).items()
    ]


def _kind(schema: dict[str, Any]) -> str:
    kind = kind_of(schema)
    return kind if kind in ("integer", "number", "boolean") else "string"
