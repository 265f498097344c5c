"""The Tab key: what the shell is offered without the import of a command."""

from __future__ import annotations

from importlib import resources

import click
import pytest
from click.shell_completion import ShellComplete

from overstory.cli import COMMANDS, TAKES_JOB_FIRST, cli
from overstory.completion_table import FILE, as_text, stand_in, table


def offered(command: click.Command, words: list[str], begun: str) -> list[tuple[str, str, str]]:
    group = click.Group(commands={"it": command})
    shell = ShellComplete(group, {}, "overstory", "_OVERSTORY_COMPLETE")
    items = shell.get_completions(["it", *words], begun)
    return [(item.value, item.type, item.help or "") for item in items]


def test_the_file_is_what_make_settings_writes() -> None:
    written = (resources.files("overstory") / FILE).read_text("utf-8")
    assert written == as_text(table(cli)), "make settings"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_shell_is_offered_what_the_command_takes(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    known = stand_in(name, name in TAKES_JOB_FIRST)
    assert offered(known, [], "--") == offered(command, [], "--")
    for option in command.params:
        if isinstance(option, click.Option) and not option.is_flag:
            words = [option.opts[0]]
            assert offered(known, words, "") == offered(command, words, "")


@pytest.mark.parametrize("name", sorted(TAKES_JOB_FIRST))
def test_the_first_word_of_a_command_about_a_job_is_a_job(name: str) -> None:
    assert offered(stand_in(name, takes_job=True), [], "la") == [
        ("last", "plain", "the newest job")
    ]
