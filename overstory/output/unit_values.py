"""The units of a job as values of its result, and why one has no answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from core.catalog.models import COST_DIGITS
from core.states import ImageStatus
from models.reads.inspect import ImageLine
from models.reads.pipeline import ImageRow, JobRow
from models.reads.units import UnitRow
from overstory.output.answers import Shape


def unit_values(shape: Shape, units: Sequence[UnitRow]) -> list[dict[str, Any]]:
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
            "cost": round(unit.cost, COST_DIGITS),
        }
        for unit in units
    ]


def ordered(shape: Shape, unit: UnitRow) -> Any:
    """The answer in the order of its schema; an ``x-image`` property has the unit's first image."""
    return shape.ordered(unit.answer, unit.positions[0]) if unit.positions else unit.answer


def image_value(image: ImageLine, names: Mapping[int, str]) -> dict[str, Any]:
    """An image of a list as JSON values. ``names``: of the job's units, by number."""
    return asdict(image) | {"unit": names.get(image.unit or 0)}


def why_unanswered(job: JobRow, unit: UnitRow, images: Mapping[int, ImageRow]) -> str:
    """Why a unit has no answer: its first image that failed says it."""
    failed = [n for n in unit.positions if images[n].status == ImageStatus.FAILED]
    if failed:
        return f"[{failed[0]}] {images[failed[0]].error}"
    if not job.status.ended:
        return "not answered yet"
    return "its images were skipped" if unit.coverage["skipped"] else "no reply answered it"
