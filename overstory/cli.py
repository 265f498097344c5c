"""The command line. Errors say what to do; tracebacks are for bugs only."""

from __future__ import annotations

import errno
import os
import sys

import click
from rich.console import Console

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
    "jobs": "overstory.commands.inspect:jobs",
    "show": "overstory.commands.inspect:show",
    "tree": "overstory.commands.inspect:tree",
    "images": "overstory.commands.inspect:images",
    "calls": "overstory.commands.inspect:calls",
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
"""Name -> where it is. Loaded when called, so that no command pays for another's imports."""

STDOUT = 1
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EPIPE)
KEPT = "free space or send it elsewhere; what was answered is kept, and shown by the same command"


class Commands(click.Group):
    """A group that imports a command when it is named."""

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
    """Answers questions about image sets of any size through a vision model."""


def main() -> None:
    """Entry point: our errors become one line and an exit status."""
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
        if error.errno not in FULL:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), STDOUT)  # what is left would be tried again
        if error.errno != errno.EPIPE:  # the reader has seen enough
            _complain(ServiceAway(f"the output cannot be written: {error.strerror}; {KEPT}"))
        sys.exit(1)


def _complain(error: OverstoryError) -> None:
    console, safe = Console(stderr=True), loaded("overstory.output.terminal").safe
    console.print(safe(f"overstory: {error}"), markup=False, highlight=False, soft_wrap=True)
