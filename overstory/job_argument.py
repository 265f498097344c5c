"""Finding the job that a JOB argument names: an id, the start of one, or ``last``."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from core.errors import OverstoryError, WrongUsage
from core.settings import Settings
from core.text.sanitize import UNSTORABLE, is_storable
from models.engine import Database
from models.reads import inspect, pipeline
from models.reads.pipeline import JobRow
from overstory.job_names import LAST, job_argument
from overstory.local.home import prepare_command
from overstory.options import settings_at
from workers.endpoints import database_url

__all__ = ["find_job", "job_argument", "named_jobs"]


NEAR = 50
"""Among so many of the newest jobs a misspelled id is looked for."""


def named_jobs(home: Path | None, start: str) -> list[tuple[str, str]]:
    """(id, question) of the newest jobs whose id starts with ``start``; empty without a database
    that answers."""
    try:
        database = Database(database_url(settings_at(home)))
        with database.read() as connection:
            jobs = inspect.job_ids(connection, start)
        database.dispose()
    except OverstoryError:
        return []
    return jobs


def find_job(
    job: str, home: Path | None, sandbox: bool = False
) -> tuple[Settings, Database, JobRow]:
    """The job whose id is or starts with ``job``, or the newest one for ``last``. Raises WrongUsage
    unless exactly one matches."""
    if not is_storable(job):
        raise WrongUsage(f"JOB {job!r}: {UNSTORABLE}")
    settings = settings_at(home, sandbox)
    prepare_command(settings)
    database = Database(database_url(settings))
    with database.read() as connection:
        if job == LAST:
            ids = [name for name, _ in inspect.job_ids(connection, "", 1)]
        else:
            ids = pipeline.jobs_called(connection, job)
        row = pipeline.job(connection, ids[0]) if len(ids) == 1 else None
        near = [] if ids else [name for name, _ in inspect.job_ids(connection, "", NEAR)]
    if row is None:
        raise WrongUsage(_not_one(job, ids, near))
    return settings, database, row


def _not_one(job: str, ids: list[str], near: list[str]) -> str:
    """Why ``job`` names no job. ``ids``: those that it may mean; ``near``: ids of other jobs."""
    lists = "'overstory jobs' lists them"
    if ids:
        return f"several jobs start with {job!r}: {lists}"
    if not near:
        return "there is no job yet: 'overstory run' starts one"
    if alike := get_close_matches(job, near, 1):
        return f"there is no job {job!r}. Did you mean {alike[0]}? {lists}"
    return f"there is no job {job!r}: {lists}"
