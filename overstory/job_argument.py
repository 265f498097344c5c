"""The JOB argument of commands: an id or the start of one, completed by the shell."""

from __future__ import annotations

from pathlib import Path

import click
from click.shell_completion import CompletionItem

from core.errors import OverstoryError, WrongUsage
from core.settings import Settings, load
from models.engine import Database
from models.reads import inspect, pipeline
from models.reads.pipeline import JobRow
from overstory.local.home import prepare_command
from overstory.output.terminal import safe_line
from workers.endpoints import database_url


def complete_job(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Ids of the newest jobs; none, rather than an error, where there is no database yet."""
    home = context.params.get("home")
    try:
        settings = load(**({"home": home} if home else {}))
        if not settings.database_url and not (settings.home / "overstory.db").exists():
            return []
        database = Database(database_url(settings))
        with database.read() as connection:
            found = inspect.job_ids(connection, incomplete)
        database.dispose()
    except OverstoryError:
        return []
    return [CompletionItem(job_id, help=safe_line(ask)[:60]) for job_id, ask in found]


job_argument = click.argument("job", shell_complete=complete_job)
home_option = click.option(
    "--home", type=click.Path(path_type=Path), help="State folder (OVERSTORY_HOME)."
)


def find_job(job: str, home: Path | None) -> tuple[Settings, Database, JobRow]:
    """The job called ``job`` (an id or the start of one). Raises WrongUsage when there is none."""
    settings = load(**({"home": home} if home else {}))
    prepare_command(settings)
    database = Database(database_url(settings))
    with database.read() as connection:
        ids = pipeline.jobs_called(connection, job)
        row = pipeline.job(connection, ids[0]) if len(ids) == 1 else None
    if row is None:
        known = "several jobs start with" if ids else "there is no job"
        raise WrongUsage(f"{known} {job!r}: 'overstory jobs' lists them")
    return settings, database, row
