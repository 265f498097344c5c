"""The JOB argument of commands: an id or the start of one, completed by the shell."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem

from core.errors import OverstoryError
from core.settings import load
from models.engine import Database
from models.reads import inspect
from overstory.terminal import safe_line
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
