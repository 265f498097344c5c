"""A shaped job's answers as values: in the order of its schema, with totals counted in code."""

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


@dataclass(frozen=True, slots=True)
class Shape:
    """What a job's row says of its shape. ``each``: the question asked of every image."""

    each: str | None
    schema: dict[str, Any] | None

    @property
    def folds(self) -> bool:
        """Whether the job's answer is one object."""
        return self.schema is not None and self.each is None

    @property
    def columns(self) -> list[tuple[str, ...]]:
        """The values an image's answer has, by path; ``()`` is the answer itself."""
        return [()] if self.schema is None else list(fields(self.schema))

    def ordered(self, answer: Any, position: int) -> Any:
        """An answer with its properties as the schema has them: columns may lose the order."""
        if answer is None or self.schema is None:
            return answer
        return fill_positions(self.schema, self.schema, answer, position)


def shape_of_job(job: JobRow) -> Shape | None:
    """None where words alone were asked for."""
    each, schema = job.options.each, job.options.schema
    if each is None and schema is None:
        return None
    return Shape(each, None if schema is None else json.loads(schema))


def shaped(job: JobRow, images: Sequence[ImageRow]) -> dict[str, Any]:
    """What a result says beside the answer; empty where words alone were asked for.

    ``data`` and ``data_error`` of a job with one object: the object, and how it breaks its schema
    (None: it does not). ``totals`` of a job with an object an image.
    """
    shape = shape_of_job(job)
    if shape is None or shape.schema is None:
        return {}
    if not shape.folds:
        said = [image.answer for image in images if image.status == ImageStatus.INCLUDED]
        return {"totals": totals(shape.schema, said)}
    data = json.loads(job.answer) if job.answer else None
    schema_text = job.options.schema
    wrong = faults(schema_text, data) if data is not None and schema_text else []
    return {"data": data, "data_error": "; ".join(wrong) or None}
