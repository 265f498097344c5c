"""The body of ``overstory run``: the job, its answer, its report.

Separate from the command, because the command starts to load the workers before it imports this.
"""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

from rich.console import Console

from core.jobs import JobSpec
from core.settings import Settings
from models.engine import Database
from overstory.local.forks import ForkServer
from overstory.local.job_runner import run
from overstory.output.summary import Showing
from workers.endpoints import database_url
from workers.loading import loaded


def ask_and_show(
    settings: Settings,
    spec: JobSpec,
    console: Console,
    quiet: bool,
    as_json: bool,
    report: Path | None,
    fork_server: ForkServer | None,
) -> NoReturn:
    """Run the job of ``spec``, show its result and exit with its status."""
    showing = Showing(console, settings, as_json)
    pages = None if report is None else loaded("overstory.report.command")
    if pages is not None:
        pages.check_writable(report)
    ran = run(settings, spec, console, quiet, showing, fork_server)
    showing(ran.job)
    if pages is not None:
        pages.write_report(settings, Database(database_url(settings)), ran.job, report)
        pages.say_written(console, report)
    showing.finish(ran)
