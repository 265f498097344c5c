"""The body of ``overstory run``: the job, its answer, its report.

Separate from the command, because the command starts to load the workers before it imports this.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import NoReturn

from rich.console import Console

from core.jobs import JobSpec
from core.settings import Settings, load
from models.engine import Database
from overstory.local.forks import ForkServer
from overstory.local.job_runner import run
from overstory.output.summary import Showing
from overstory.output.terminal import print_plain
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
    yes: bool,
) -> NoReturn:
    """Run the job of ``spec``, show its result and exit with its status."""
    showing = Showing(console, settings, as_json)
    pages = None if report is None else loaded("overstory.report.command")
    if pages is not None:
        pages.check_writable(report)
    ran = run(settings, spec, console, quiet, showing, fork_server, yes)
    showing(ran.job)
    if pages is not None:
        pages.write_report(settings, Database(database_url(settings)), ran.job, report)
        pages.say_written(console, report)
    elif console.is_terminal and not (quiet or as_json) and ran.job.answer:
        print_plain(console, f"next: {next_step(settings, ran.job.id)}")
    showing.finish(ran)


def next_step(settings: Settings, job_id: str) -> str:
    """The command that shows the answer beside its images."""
    elsewhere = settings.home != load().home  # named by --home
    home = f" --home {shlex.quote(str(settings.home))}" if elsewhere else ""
    return f"overstory report {job_id} --open{home}"
