"""The state of a job without its images, for those who wait for it."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel

from core.states import JobStatus
from models.engine import Database
from models.reads.pipeline import JobRow
from models.reads.standings import job_is_over
from models.state import coverage
from overstory.api.caller import Calling, find_job
from overstory.api.problems import PROBLEMS
from tasks.runtime.services import Services


class JobState(BaseModel):
    """``reason``: why the job is paused or failed. ``coverage``: number of images by status, and
    ``submitted`` for all of them. ``over``: it has ended, or is paused for its budget with nothing
    in flight."""

    job: str
    status: JobStatus
    reason: str | None
    coverage: dict[str, int]
    over: bool


def state_of(database: Database, row: JobRow) -> JobState:
    """The state of the job that ``row`` is of, now."""
    with database.read() as connection:
        over = job_is_over(connection, row.id)
        counts = {"submitted": row.submitted, **coverage(connection, row.id)}
    return JobState(job=row.id, status=row.status, reason=row.reason, coverage=counts, over=over)


def statuses(services: Services) -> APIRouter:
    routes = APIRouter(prefix="/api/jobs", tags=["jobs"], responses=PROBLEMS)

    @routes.get("/{job}/status")
    def status(job: str, caller: Calling) -> JobState:
        """Show a job's state without its images, which is cheap to ask for often."""
        return state_of(services.database, find_job(services.database, job, caller))

    return routes
