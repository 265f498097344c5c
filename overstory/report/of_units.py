"""What a report shows of a job's units: each with its answer, its images and its coverage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from models.reads.pipeline import JobRow
from models.reads.units import UnitRow
from overstory.output.answers import Shape
from overstory.output.unit_values import ordered, rounded, why_unanswered
from overstory.report import markdown, shaped


def units_value(
    job: JobRow, shape: Shape, units: Sequence[UnitRow], errors: Mapping[int, str]
) -> dict[str, Any]:
    """``list``: the units in order. ``columns``: names of the values of an answer, None where
    answers are texts. ``errors``: of the job's failed images, by position."""
    names = [".".join(path) for path in shape.columns]
    return {
        "by": shape.by,
        "columns": None if shape.schema is None else names,
        "list": [_unit(job, shape, unit, errors) for unit in units],
    }


def _unit(job: JobRow, shape: Shape, unit: UnitRow, errors: Mapping[int, str]) -> dict[str, Any]:
    """A unit without empty fields. ``answer``: blocks of a text, or the values of an object;
    ``same``: the number of an earlier unit with the same images."""
    value = {
        "number": unit.number,
        "name": unit.name,
        "images": markdown.runs(range(n, n + 1) for n in unit.positions),
        "answer": _answer(shape, unit),
        "why": why_unanswered(job, unit, errors),
        "coverage": {name: count for name, count in unit.coverage.items() if count},
        "same": unit.duplicate_of,
        "cost": rounded(unit),
    }
    return {name: field for name, field in value.items() if field is not None}


def _answer(shape: Shape, unit: UnitRow) -> list[Any] | None:
    if unit.answer is None:
        return None
    answer = ordered(shape, unit)
    return markdown.blocks(answer) if shape.schema is None else shaped.cells(shape, answer)
