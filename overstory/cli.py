"""The command line. An error message says what to do; only a bug shows a traceback."""

from __future__ import annotations

import errno
import os
import sys

import click
from rich.console import Console

from clients.private_files import private_umask
from core.errors import OverstoryError, ServiceAway, WrongUsage
from overstory import __version__
from workers.loading import loaded

COMMANDS = {
    "run": "overstory.commands.run:run",
    "ask": "overstory.commands.followup:ask",
    "add": "overstory.commands.followup:add",
    "remove": "overstory.commands.followup:remove",
    "watch-folder": "overstory.commands.watch_folder:watch_folder",
    "estimate": "overstory.commands.estimate:estimate",
    "prompts": "overstory.commands.prompts:prompts",
    "watch": "overstory.commands.watch:watch",
    "report": "overstory.report.command:report",
    "export": "overstory.export.command:export",
    "jobs": "overstory.commands.inspect.jobs:jobs",
    "show": "overstory.commands.inspect.show:show",
    "tree": "overstory.commands.inspect.tree:tree",
    "images": "overstory.commands.inspect.images:images",
    "calls": "overstory.commands.inspect.calls:calls",
    "retry": "overstory.commands.control:retry",
    "cancel": "overstory.commands.control:cancel",
    "pause": "overstory.commands.control:pause",
    "resume": "overstory.commands.control:resume",
    "account": "overstory.commands.account:account",
    "files": "overstory.commands.account:files",
    "prune": "overstory.commands.prune:prune",
    "up": "overstory.commands.service:up",
    "down": "overstory.commands.service:down",
    "migrate": "overstory.commands.service:migrate",
    "reconciler": "overstory.commands.service:reconciler",
    "sandbox": "overstory.sandbox.command:sandbox",
    "doctor": "overstory.doctor:doctor",
    "completion": "overstory.commands.completion:completion",
}
"""Command -> module and attribute. A module is imported when its command is called, so that no
command pays for the imports of another."""

STDOUT = 1
UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EPIPE)
WHAT_TO_DO = "free space or redirect it, then repeat the command; paid answers are stored"


class Commands(click.Group):
    """A group that imports the module of a command only when that command is called."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[name].partition(":")
        command: click.Command = getattr(loaded(module), attribute)
        return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def cli() -> None:
    """Answer questions about image sets of any size through a vision model."""


def main() -> None:
    """Entry point. Turns an Overstory error into one line on stderr and an exit status.

    What this process and those that it starts create is for its owner alone. A report or an export
    gets the rights of the person's own umask (``clients.private_files.for_the_person``).
    """
    with private_umask():
        _main()


def _main() -> None:
    try:
        try:
            cli.main(standalone_mode=False)
        finally:
            sys.stdout.flush()
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except WrongUsage as error:
        _complain(error)
        sys.exit(2)
    except OverstoryError as error:
        _complain(error)
        sys.exit(1)
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), STDOUT)  # or Python retries at exit
        if error.errno != errno.EPIPE:  # the reader closed the pipe
            _complain(ServiceAway(f"the output cannot be written: {error.strerror}; {WHAT_TO_DO}"))
        sys.exit(1)


def _complain(error: OverstoryError) -> None:
    console, safe = Console(stderr=True), loaded("overstory.output.terminal").safe
    console.print(safe(f"overstory: {error}"), markup=False, highlight=False, soft_wrap=True)
