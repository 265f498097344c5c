"""The body of ``overstory run``: the job, its answer, its report.

Separate from the command, because the command starts to load the workers before it imports this.
"""

from __future__ import annotations

import shlex

from rich.console import Console

from core.account.budget import Watch
from core.settings import Settings, load
from models.engine import Database
from overstory.commands.specs import Asked
from overstory.local.forks import ForkServer
from overstory.local.job_runner import run
from overstory.output.result import Ran
from overstory.output.summary import Showing
from overstory.output.terminal import print_plain
from workers.endpoints import database_url
from workers.loading import loaded


def ask_and_show(
    asked: Asked,
    console: Console,
    fork_server: ForkServer | None = None,
    watch: Watch | None = None,
) -> tuple[Showing, Ran]:
    """Run a job, show its result and write its report. ``watch``: what it is asked for."""
    settings = asked.settings
    showing = Showing(console, settings, asked.as_json)
    pages = None if asked.report is None else loaded("overstory.report.command")
    if pages is not None:
        pages.check_writable(asked.report)
    ran = run(settings, asked.spec, console, asked.quiet, showing, fork_server, asked.yes, watch)
    showing(ran.job)
    if pages is not None:
        database = Database(database_url(settings))
        written = pages.write_report(settings, database, ran.job, asked.report)
        pages.say_written(console, written)
    elif console.is_terminal and not (asked.quiet or asked.as_json) and ran.job.answer:
        print_plain(console, f"next: {next_step(settings, ran.job.id)}")
    return showing, ran


def next_step(settings: Settings, job_id: str) -> str:
    """The command that shows the answer beside its images."""
    elsewhere = settings.home != load().home  # named by --home
    home = f" --home {shlex.quote(str(settings.home))}" if elsewhere else ""
    return f"overstory report {job_id} --open{home}"
