"""A job's result: the JSON object of ``--json``, and the exit status."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from core.settings import SANDBOX
from core.states import JobStatus
from models.engine import Database
from models.reads import pipeline
from models.reads.pipeline import JobRow
from models.state import coverage
from overstory.output import looks
from overstory.output.answers import shape_of_job, shaped

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
    with database.read() as connection:
        counts = coverage(connection, job.id)
        images = pipeline.images(connection, job.id)
        tree = pipeline.tree_shape(connection, job.id)
        used = pipeline.used(connection, job.id)
        seen = pipeline.seen(connection, job.id)
    shape = shape_of_job(job)
    return {
        "job": job.id,
        "status": str(job.status),
        "answer": job.answer,
        "reason": job.reason,
        "coverage": {"submitted": job.submitted, **counts},
        "seen": seen,
        "looks": looks.counts(images),
        **shaped(job, images),
        "images": [
            {
                "position": image.position,
                "name": image.name,
                "status": str(image.status),
                "error": image.error,
                "error_code": image.error_code,
                "duplicate_of": image.duplicate_of,
                "seen": image.seen,
                "note": image.note,
                "remarks": image.remarks,
                "look": image.look,
                "unclear": image.unclear,
                **({"answer": shape.ordered(image.answer, image.position)} if shape else {}),
            }
            for image in images
        ],
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


@dataclass(frozen=True, slots=True)
class Ran:
    """How a run ended. A job paused for its budget was not interrupted, but has not ended."""

    job: JobRow
    interrupted: bool
    signalled: bool = False  # a stop was requested, perhaps after the job had ended
    waits: str = ""  # why no worker works on the running job
