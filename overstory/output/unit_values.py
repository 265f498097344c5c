"""The units of a job as values of its result, and why one has no answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from core.catalog.models import COST_DIGITS
from models.engine import Database
from models.reads import units
from models.reads.inspect import ImageLine
from models.reads.pipeline import JobRow
from models.reads.units import UnitRow
from overstory.output.answers import Shape


def unit_values(shape: Shape, rows: Sequence[UnitRow]) -> list[dict[str, Any]]:
    """A value for each unit, in order: ``answer`` is a text, ``data`` an object of the schema; None
    where there is none. ``duplicate_of`` counts from 1 in this list."""
    key = "answer" if shape.schema is None else "data"
    return [
        {
            "unit": unit.name,
            key: ordered(shape, unit),
            "coverage": unit.coverage,
            "duplicate_of": unit.duplicate_of,
            "images": unit.positions,
            "cost": rounded(unit),
        }
        for unit in rows
    ]


def rounded(unit: UnitRow) -> float:
    return round(unit.cost, COST_DIGITS)


def ordered(shape: Shape, unit: UnitRow) -> Any:
    """The answer in the order of its schema; an ``x-image`` property has the unit's first image."""
    return shape.ordered(unit.answer, unit.positions[0]) if unit.positions else unit.answer


def names_of_units(database: Database, job: JobRow) -> dict[int, str]:
    """The names of a job's units, by number."""
    if job.options.by is None:
        return {}
    with database.read() as connection:
        return units.names(connection, job.id)


def image_value(image: ImageLine, names: Mapping[int, str]) -> dict[str, Any]:
    """An image of a list as JSON values. ``names``: of the job's units, by number."""
    return asdict(image) | {"unit": names.get(image.unit or 0)}


def why_unanswered(job: JobRow, unit: UnitRow, errors: Mapping[int, str]) -> str | None:
    """Why a unit has no answer, None if it has one. ``errors``: of the job's failed images, by
    position; a unit's first one says it."""
    if unit.answer is not None:
        return None
    failed = next((position for position in unit.positions if position in errors), None)
    if failed is not None:
        return f"[{failed}] {errors[failed]}"
    if not job.status.ended:
        return "not answered yet"
    return "its images were skipped" if unit.coverage["skipped"] else "no reply answered it"
