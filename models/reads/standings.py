"""Where jobs stand: whether they are over, and of many jobs by one question for all of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from itertools import islice

from sqlalchemy import Connection, func, select

from core.account.budget import is_spent
from core.states import ImageStatus, JobStatus
from models.reads import pipeline
from models.tables import Image, Job

JOBS_AT_ONCE = 500
"""Of one statement: SQLite takes 32,766 values, PostgreSQL plans long lists slowly."""


@dataclass(frozen=True, slots=True)
class Standing:
    """``status``: None if there is no such job (any more). ``is_over``: it has ended, or is paused
    for its budget with nothing in flight. ``images``: by status."""

    status: JobStatus | None
    is_over: bool
    reason: str | None = None
    submitted: int = 0
    images: dict[str, int] = field(default_factory=dict)

    @property
    def moves(self) -> bool:
        """Whether a worker has done something for the job, and it is not paused."""
        waiting = self.of(ImageStatus.PENDING, ImageStatus.DUPLICATE)
        return self.status is JobStatus.RUNNING and waiting < self.submitted

    def of(self, *statuses: ImageStatus) -> int:
        """How many images have one of these states."""
        return sum(self.images.get(status, 0) for status in statuses)


def is_over(connection: Connection, job_id: str, status: JobStatus, reason: str | None) -> bool:
    """Whether a job of this status has ended, or is paused for its budget with nothing in
    flight."""
    return status.ended or (is_spent(status, reason) and not pipeline.at_work(connection, job_id))


def job_is_over(connection: Connection, job_id: str) -> bool:
    """``is_over`` of a job; also true if there is no such job."""
    row = pipeline.job_standing(connection, job_id)
    return row is None or is_over(connection, job_id, *row)


def standings(
    connection: Connection, jobs: Collection[str], counted: Collection[str] = ()
) -> dict[str, Standing]:
    """The standing of each of ``jobs``; with the numbers of images of those in ``counted``."""
    images: dict[str, dict[str, int]] = {}
    for some in _slices(counted):
        for job_id, status, count in connection.execute(
            select(Image.job_id, Image.status, func.count())
            .where(Image.job_id.in_(some))
            .group_by(Image.job_id, Image.status)
        ):
            images.setdefault(job_id, {})[str(status)] = count
    found = dict.fromkeys(jobs, Standing(None, is_over=True))
    for some in _slices(jobs):
        for job_id, status, reason, submitted in connection.execute(
            select(Job.id, Job.status, Job.reason, Job.submitted).where(Job.id.in_(some))
        ).all():
            known = JobStatus(status)
            over = is_over(connection, job_id, known, reason)
            found[job_id] = Standing(known, over, reason, submitted, images.get(job_id, {}))
    return found


def _slices(jobs: Collection[str]) -> Iterator[list[str]]:
    rest = iter(jobs)
    while some := list(islice(rest, JOBS_AT_ONCE)):
        yield some
