"""The JOB argument and its completion. Imports little: the shell waits for each press of Tab."""

from __future__ import annotations

import os
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from models.reads.newest import newest_jobs
from workers.loading import loaded

LAST = "last"
"""The name of the newest job, wherever a JOB is taken. It is not an id: those are hexadecimal."""
HELP_SHOWN = 60


def complete_job(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """``last`` and ids of the newest jobs. An empty list, not an error, without a database."""
    jobs = _jobs(context.params.get("home"), incomplete)
    last = [CompletionItem(LAST, help="the newest job")] if LAST.startswith(incomplete) else []
    return [*last, *(CompletionItem(job, help=_shown(ask)) for job, ask in jobs)]


def _jobs(home: Path | None, start: str) -> list[tuple[str, str]]:
    if os.environ.get("OVERSTORY_DATABASE_URL"):
        jobs: list[tuple[str, str]] = loaded("overstory.job_argument").named_jobs(home, start)
        return jobs
    folder = home or Path(os.environ.get("OVERSTORY_HOME") or _usual_home())
    return newest_jobs(folder.expanduser() / "overstory.db", start)


def _usual_home() -> str:
    home: str = loaded("platformdirs").user_data_dir("overstory", appauthor=False)
    return home


def _shown(ask: str) -> str:
    """The start of a question, in one line and without control characters."""
    return "".join(c if c.isprintable() else " " for c in ask)[:HELP_SHOWN]


job_argument = click.argument("job", shell_complete=complete_job)
