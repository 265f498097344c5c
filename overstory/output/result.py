"""A job's result: the JSON object of ``--json``, and the exit status."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from core.settings import SANDBOX
from core.states import JobStatus
from models.engine import Database
from models.reads import parts, pipeline, units
from models.reads.pipeline import ImageRow, JobRow
from models.reads.units import UnitRow
from models.state import coverage
from overstory.output.answers import Shape, shape_of_job, shaped
from overstory.output.terminal import json_array, json_line
from overstory.output.unit_values import unit_values

EXIT_STATUS = {
    JobStatus.COMPLETED: 0,
    JobStatus.PARTIAL: 3,
    JobStatus.FAILED: 1,
    JobStatus.CANCELLED: 1,
    JobStatus.PAUSED: 3,  # for its budget; no other pause ends a run
}
INTERRUPTED = 130


def result(database: Database, job: JobRow) -> dict[str, Any]:
    """The JSON object of ``overstory run --json``, without ``waits``. Programs rely on its field
    names and types."""
    value = overview(database, job)
    value["images"] = list(image_values(database, job))
    return value


def overview(database: Database, job: JobRow) -> dict[str, Any]:
    """The same with an empty list of images: its memory does not grow with their number."""
    with database.read() as connection:
        counts = coverage(connection, job.id)
        counted = parts.counted(connection, job.id)
        tree = pipeline.tree_shape(connection, job.id)
        used = pipeline.used(connection, job.id)
        seen = pipeline.seen(connection, job.id)
        groups = units.units(connection, job.id) if job.options.by else []
    shape = shape_of_job(job)
    similar = {"similar": counted.similar} if counted.similar else {}  # of those that were skipped
    answered = _answered(database, job, shape)
    return {
        "job": job.id,
        "status": str(job.status),
        "answer": job.answer,
        "reason": job.reason,
        "coverage": {"submitted": job.submitted, **counts, **similar},
        "seen": seen,
        "looks": {"twice": counted.twice, "unclear": counted.unclear, "left": counted.left},
        **shaped(job, answered, groups),
        **({"by": shape.by, "units": unit_values(shape, groups)} if shape and shape.by else {}),
        "images": [],
        "tree": {"depth": tree.depth, "nodes": tree.nodes, "leaves": tree.leaves},
        "usage": {
            "requests": used.requests,
            "prompt_tokens": used.prompt_tokens,
            "cached_tokens": used.cached_tokens,
            "completion_tokens": used.completion_tokens,
            "cost": round(used.cost, 6),
            "currency": used.currency,
        },
        "follows": job.follows,
        "budget": job.options.budget,
        "model": job.model,
        "pack": job.options.pack,
        "endpoint": job.endpoint,
        "sandbox": job.endpoint == SANDBOX,
    }


def _answered(database: Database, job: JobRow, shape: Shape | None) -> list[ImageRow]:
    """The images whose answers are added up: those of a job with an object for each image."""
    if shape is None or shape.schema is None or shape.folds or shape.by:
        return []
    return list(parts.images_in_pages(database, job.id, parts.INCLUDED))


def image_values(
    database: Database, job: JobRow, which: parts.Which | None = None
) -> Iterator[dict[str, Any]]:
    """The images of the result in order; with ``which``, those for which this condition holds."""
    shape, groups = shape_of_job(job), []
    if job.options.by:
        with database.read() as connection:
            groups = units.units(connection, job.id)
    for image in parts.images_in_pages(database, job.id, which):
        yield {
            "position": image.position,
            "name": image.name,
            "status": str(image.status),
            "error": image.error,
            "error_code": image.error_code,
            "duplicate_of": image.duplicate_of,
            **({"similar_to": image.similar_to} if image.similar_to else {}),
            "seen": image.seen,
            "note": image.note,
            "remarks": image.remarks,
            "look": image.look,
            "unclear": image.unclear,
            **_own(shape, image, groups),
        }


def json_of(database: Database, job: JobRow, **more: Any) -> Iterator[str]:
    """The result and ``more`` as one line of JSON, in pieces: a million images take gigabytes in
    memory, and a fifth of one as text."""
    value = {**overview(database, job), **more}
    names = list(value)
    at = names.index("images")
    before, after = ({name: value[name] for name in some} for some in (names[:at], names[at + 1 :]))
    yield json_line(before)[:-1] + ', "images": '
    yield from json_array(image_values(database, job))
    yield ", " + json_line(after)[1:]


def _own(shape: Shape | None, image: ImageRow, units: Sequence[UnitRow]) -> dict[str, Any]:
    """The image's own answer; in a job by units, the name of the unit that was answered about."""
    if shape is None:
        return {}
    if shape.by is None:
        return {"answer": shape.ordered(image.answer, image.position)}
    return {"unit": units[image.unit - 1].name if image.unit else None}


@dataclass(frozen=True, slots=True)
class Ran:
    """How a run ended. A job paused for its budget was not interrupted, but has not ended."""

    job: JobRow
    interrupted: bool
    signalled: bool = False  # a stop was requested, perhaps after the job had ended
    waits: str = ""  # why no worker works on the running job
