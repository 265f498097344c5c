"""The command line. An error message says what to do; only a bug shows a traceback."""

from __future__ import annotations

import errno
import os
import sys
from difflib import get_close_matches

import click
from click.shell_completion import CompletionItem

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
    "tune": "overstory.commands.tune:tune",
    "prompts": "overstory.commands.prompts:prompts",
    "watch": "overstory.commands.watch:watch",
    "report": "overstory.report.command:report",
    "export": "overstory.export.command:export",
    "check": "overstory.commands.check:check",
    "review": "overstory.commands.review:review",
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
    "serve": "overstory.api.command:serve",
    "mcp": "overstory.api.mcp.command:mcp",
    "token": "overstory.commands.token:token",
    "migrate": "overstory.commands.service:migrate",
    "reconciler": "overstory.commands.service:reconciler",
    "sandbox": "overstory.sandbox.command:sandbox",
    "init": "overstory.setup.command:init",
    "doctor": "overstory.doctor:doctor",
    "completion": "overstory.commands.completion:completion",
}
"""Command -> module and attribute. A module is imported when its command is called, so that no
command pays for the imports of another."""

HELP = {
    "Ask": {
        "run": "Ask a question about images.",
        "ask": "Ask a further question about a job's images.",
        "add": "Add images to a job's set, as a new job.",
        "remove": "Remove images from a job's set, as a new job.",
        "watch-folder": "Ask about a folder, again whenever its images change.",
        "estimate": "Estimate the requests, tokens, cost, budget and time of a job.",
        "tune": "Find the cheapest setting that is not worse than the best, on labelled images.",
        "prompts": "Print the prompt texts, or write them to files for editing.",
    },
    "Look": {
        "jobs": "List jobs, the newest first.",
        "show": "Show one job: its answer, coverage, tree and cost.",
        "watch": "Watch a job: tree, throughput, limits, cost, time left.",
        "report": "Write one HTML file that shows the answer and every image behind it.",
        "images": "List a job's images, and the reason for each failed one.",
        "tree": "Show a job's summary tree, with text and cost of each node.",
        "calls": "List a job's requests, with cost and error of each.",
        "export": "Export a job's images, one row for each.",
        "check": "Compare a job's answers with what you know of its images.",
        "review": "Write a page on which a person judges a sample of a job's answers.",
    },
    "Steer": {
        "pause": "Pause a job.",
        "resume": "Continue a paused or interrupted job and wait for its end.",
        "retry": "Try a job's failed and skipped images again.",
        "cancel": "End a job.",
    },
    "Serve": {
        "up": "Run the whole service on this machine, without Docker.",
        "down": "Stop the service of this state folder.",
        "serve": "Serve the HTTP API and its page (part of the service).",
        "mcp": "Serve agents over stdin and stdout, by the Model Context Protocol.",
        "token": "Create, list and revoke the tokens of the HTTP API.",
        "migrate": "Bring the database schema up to this version.",
        "reconciler": "Repair lost work until stopped (part of the service).",
        "sandbox": "Serve a strict local stand-in for StepFun's API.",
    },
    "Care": {
        "init": "Choose provider, key and model, check them, and write them down.",
        "doctor": "Check settings, services, endpoint and API key.",
        "account": "Show the account's usage, limits, balance and spending.",
        "files": "List and clean up the provider's file store.",
        "prune": "Delete old jobs from the database.",
        "completion": "Print the completion script for a shell.",
    },
}
"""The first sentence of each command's help, in groups. Written here again, because importing every
command for them takes a second; a test holds them equal."""
TAKES_JOB_FIRST = {
    *("ask", "add", "remove", "watch", "report", "export", "show", "tree", "images", "calls"),
    *("retry", "cancel", "pause", "resume", "check", "review"),
}
"""Commands whose first argument is a JOB."""

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
        if context.resilient_parsing:  # the shell completes a word
            known: click.Command = loaded("overstory.completion_table").stand_in(
                name, name in TAKES_JOB_FIRST
            )
            return known
        module, _, attribute = COMMANDS[name].partition(":")
        command: click.Command = getattr(loaded(module), attribute)
        return command

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-") and not context.resilient_parsing:
            near = get_close_matches(name, COMMANDS, 1)
            mean = f" Did you mean {near[0]!r}?" if near else ""
            context.fail(f"No such command {name!r}.{mean}")
        return super().resolve_command(context, args)

    def shell_complete(self, context: click.Context, incomplete: str) -> list[CompletionItem]:
        """Names and sentences of commands, from HELP; or the group's own options."""
        if incomplete and not incomplete[0].isalnum():
            return click.Command.shell_complete(self, context, incomplete)
        return [
            CompletionItem(name, help=sentence)
            for names in HELP.values()
            for name, sentence in names.items()
            if name.startswith(incomplete)
        ]

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, COMMANDS))
        for group, names in HELP.items():
            with formatter.section(group):
                rows = [(name.ljust(width), sentence) for name, sentence in names.items()]
                formatter.write_dl(rows)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def cli() -> None:
    """Answer questions about image sets of any size through a vision model.

    JOB is the id of a job, the start of one, or 'last'. 'overstory COMMAND --help' explains a
    command.
    """


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
    console = loaded("rich.console").Console(stderr=True)
    safe = loaded("overstory.output.terminal").safe
    console.print(safe(f"overstory: {error}"), markup=False, highlight=False, soft_wrap=True)
