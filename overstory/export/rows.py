"""Rows of an export: fields of the image, its answer in one column or several, then its facts.

Facts have the names of the person's own columns. Where such a name is one of ours, it is the fact
that gets a prefix: ``table.name``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.answers.json_schema import kind_of
from core.answers.totals import fields, value_at
from models.engine import Database
from models.reads.export import ImageExport, facts_of, pages
from models.reads.pipeline import JobRow
from overstory.output.answers import Shape, shape_of_job
from overstory.output.plural import pluralize
from overstory.output.unit_values import names_of_units
from overstory.report.notes import notes_of, without_number

BASE = (
    *("position", "name", "location", "page", "status", "duplicate_of", "error_code", "error"),
    *("seen", "look", "unclear"),
)
PREFIX = "table."
INTEGERS = ("position", "page", "duplicate_of", "look")
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Column:
    """A column. ``kind`` is a JSON type: integer, number, boolean or string. ``path`` leads to its
    value inside the answer. ``fact``: the name of the fact that it has."""

    name: str
    kind: str
    path: tuple[str, ...] = ()
    fact: str | None = None


class Export:
    """A job's images as rows, each with the line about it, and with its answer if it has one."""

    def __init__(self, database: Database, job: JobRow) -> None:
        self._database = database
        self._job = job
        self._shape = None if job.options.by else shape_of_job(job)  # an image of a unit has none
        self._units = names_of_units(database, job)
        self.columns = _columns(self._shape)
        if self._units:
            self.columns.insert(2, Column("unit", "string"))
        self._facts = fact_columns(self.columns, facts_of(database, job.id))
        self.columns += self._facts

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
                if self._shape is not None:
                    row["answer"] = self._answer(image)
                yield row | self.told(image.facts or {})

    def cells(self, row: Row) -> list[Any]:
        """The row's values in the order of ``columns``; lists and objects as JSON text."""
        return [self._cell(column, row) for column in self.columns]

    def _cell(self, column: Column, row: Row) -> Any:
        is_answer = column.fact is None and column.name.startswith("answer")
        value = value_at(row["answer"], column.path) if is_answer else row[column.name]
        return json.dumps(value, ensure_ascii=False) if isinstance(value, Mapping | list) else value

    def told(self, facts: Mapping[str, Any]) -> Row:
        return {c.name: _as_kind(facts.get(c.fact or ""), c.kind) for c in self._facts}

    def _note(self, image: ImageExport) -> str | None:
        """The line about the image; of a job without such lines, what its leaf's text says."""
        if image.note is not None:
            return without_number(image.note, image.position)
        return notes_of(image.notes, [image.position]).get(image.position)

    def _answer(self, image: ImageExport) -> Any:
        return self._shape.ordered(image.answer, image.position) if self._shape else None


def _columns(shape: Shape | None) -> list[Column]:
    base = [Column(name, "integer" if name in INTEGERS else "string") for name in BASE]
    answers = [] if shape is None else answer_columns(shape)
    return [*base, Column("note", "string"), *answers]


def fact_columns(own: Sequence[Column], facts: Iterable[Mapping[str, Any]]) -> list[Column]:
    """A column for each fact that some image has, of the kind that holds all its values."""
    kinds: dict[str, set[str]] = {}
    for one in facts:
        for name, value in one.items():
            kinds.setdefault(name, set()).add(_kind_of(value))
    taken = {"answer", *(column.name for column in own)}
    columns = []
    for fact, found in kinds.items():
        name = fact
        while name in taken:
            name = f"{PREFIX}{name}"
        taken.add(name)
        columns.append(Column(name, _common(found), fact=fact))
    return columns


def _kind_of(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    return {int: "integer", float: "number"}.get(type(value), "string")


def _common(kinds: set[str]) -> str:
    if len(kinds) == 1:
        return next(iter(kinds))
    return "number" if kinds == {"integer", "number"} else "string"


def _as_kind(value: Any, kind: str) -> Any:
    """Numbers stand as text in a column that has texts as well."""
    is_text = kind == "string" and value is not None and not isinstance(value, str)
    return json.dumps(value) if is_text else value


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
