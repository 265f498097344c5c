"""The JOB argument of commands: an id or the start of one. The shell can complete it."""

from __future__ import annotations

from pathlib import Path

import click
from click.shell_completion import CompletionItem

from core.errors import OverstoryError, WrongUsage
from core.settings import Settings
from core.text.sanitize import UNSTORABLE, is_storable
from models.engine import Database
from models.reads import inspect, pipeline
from models.reads.pipeline import JobRow
from overstory.local.home import prepare_command
from overstory.options import settings_at
from overstory.output.terminal import safe_line
from workers.endpoints import database_url


def complete_job(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Ids of the newest jobs. An empty list, not an error, when there is no database yet."""
    try:
        settings = settings_at(context.params.get("home"))
        if not settings.database_url and not (settings.home / "overstory.db").exists():
            return []
        database = Database(database_url(settings))
        with database.read() as connection:
            jobs = inspect.job_ids(connection, incomplete)
        database.dispose()
    except OverstoryError:
        return []
    return [CompletionItem(job_id, help=safe_line(ask)[:60]) for job_id, ask in jobs]


job_argument = click.argument("job", shell_complete=complete_job)


def find_job(job: str, home: Path | None) -> tuple[Settings, Database, JobRow]:
    """The job whose id is or starts with ``job``. Raises WrongUsage unless exactly one matches."""
    if not is_storable(job):
        raise WrongUsage(f"JOB {job!r}: {UNSTORABLE}")
    settings = settings_at(home)
    prepare_command(settings)
    database = Database(database_url(settings))
    with database.read() as connection:
        ids = pipeline.jobs_called(connection, job)
        row = pipeline.job(connection, ids[0]) if len(ids) == 1 else None
    if row is None:
        problem = "several jobs start with" if ids else "there is no job"
        raise WrongUsage(f"{problem} {job!r}: 'overstory jobs' lists them")
    return settings, database, row
