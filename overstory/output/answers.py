"""Structured answers as values: in the order of their schema, with totals computed in code."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from core.answers.json_schema import fill_positions
from core.answers.spec import faults
from core.answers.totals import fields, totals
from core.states import ImageStatus
from models.reads.pipeline import ImageRow, JobRow
from models.reads.units import UnitRow


@dataclass(frozen=True, slots=True)
class Shape:
    """The answer's structure that a job asks for. ``each``: the question about each image, or of a
    job by units, about each unit; ``by``: what makes a unit."""

    each: str | None
    schema: dict[str, Any] | None
    by: str | None = None

    @property
    def folds(self) -> bool:
        """Whether the answers are merged into one object for the whole job."""
        return self.schema is not None and self.each is None

    @property
    def columns(self) -> list[tuple[str, ...]]:
        """Paths of the values in an image's answer; ``()`` is the answer itself."""
        return [()] if self.schema is None else list(fields(self.schema))

    def ordered(self, answer: Any, position: int) -> Any:
        """An answer with its properties in schema order, which JSON columns do not keep."""
        if answer is None or self.schema is None:
            return answer
        return fill_positions(self.schema, self.schema, answer, position)


def shape_of_job(job: JobRow) -> Shape | None:
    """None if the job asks for text only."""
    each, schema = job.options.each, job.options.schema
    if each is None and schema is None:
        return None
    return Shape(each, None if schema is None else json.loads(schema), job.options.by)


def shaped(
    job: JobRow, images: Sequence[ImageRow], units: Sequence[UnitRow] = ()
) -> dict[str, Any]:
    """Fields of a result besides the answer; empty if the job asks for text only.

    ``data`` and ``data_error`` for one object: the object, and how it violates its schema (None if
    it does not). ``totals`` for an object for each image, or for each unit.
    """
    shape = shape_of_job(job)
    if shape is None or shape.schema is None:
        return {}
    if not shape.folds:
        answers = [image.answer for image in images if image.status == ImageStatus.INCLUDED]
        answers = [unit.answer for unit in units] if shape.by else answers
        return {"totals": totals(shape.schema, answers)}
    data = json.loads(job.answer) if job.answer else None
    schema_text = job.options.schema
    violations = faults(schema_text, data) if data is not None and schema_text else []
    return {"data": data, "data_error": "; ".join(violations) or None}
