"""The entry point: errors that are not our bugs end in one line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from core.settings import load
from overstory.cli import COMMANDS, HELP, TAKES_JOB_FIRST, cli
from overstory.commands.asking import next_step

FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="no device that is always full")
def test_a_full_disk_under_stdout_is_one_line() -> None:
    with FULL.open("w") as out:
        words = [sys.executable, "-m", "overstory", "--help"]
        done = subprocess.run(words, stdout=out, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert "the output cannot be written: No space left on device" in line


COMMAND_LINE = click.Context(cli)
HEAVY = ("sqlalchemy", "pydantic", "rich", "celery", "openai", "redis")
LOADED = f"""
import sys
from overstory.cli import main
try:
    main()
finally:
    print("loaded:", *(name for name in {HEAVY} if name in sys.modules), file=sys.stderr)
"""


def command_of(name: str) -> click.Command:
    command = cli.get_command(COMMAND_LINE, name)
    assert command is not None
    return command


@pytest.mark.parametrize("name", COMMANDS)
def test_the_overview_has_the_first_sentence_of_each_command(name: str) -> None:
    [sentence] = [names[name] for names in HELP.values() if name in names]
    assert sentence == command_of(name).get_short_help_str(300)


def test_the_overview_is_grouped_and_whole() -> None:
    shown = CliRunner().invoke(cli, ["--help"], terminal_width=80).output
    for group in HELP:
        assert f"{group}:\n" in shown
    assert "..." not in shown.partition("Ask:")[2]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_commands_that_take_a_job_first_are_known(name: str) -> None:
    """Their completion does not load them."""
    arguments = [p for p in command_of(name).params if isinstance(p, click.Argument)]
    takes = bool(arguments) and arguments[0].name == "job"
    assert takes == (name in TAKES_JOB_FIRST)


@pytest.mark.parametrize(
    ("words", "completes", "expected"),
    [
        (["--help"], None, "Look:"),
        ([], "overstory re", "plain,report"),
        ([], "overstory --v", "plain,--version"),
        ([], "overstory show ", "plain,last"),
        ([], "overstory report l", "plain,last"),
        ([], "overstory tune --t", "plain,--truth"),
        ([], "overstory export --format m", "plain,markdown"),
    ],
)
def test_help_and_completion_load_little(
    words: list[str], completes: str | None, expected: str
) -> None:
    environment = dict(os.environ)
    if completes is not None:
        number = str(len(completes.split(" ")) - 1)
        environment |= {"COMP_WORDS": completes, "COMP_CWORD": number}
        environment |= {"_OVERSTORY_COMPLETE": "bash_complete"}
    script = LOADED.replace("main()", f"sys.argv[:] = ['overstory', *{words}]; main()")
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True
    )
    assert expected in done.stdout.splitlines(), done
    assert done.stderr.splitlines() == ["loaded:"]


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["shwo"], "'show'"),
        (["reprot", "x"], "'report'"),
        (["run", "x", "--budgte", "1"], "'--budget'"),
    ],
)
def test_a_misspelled_word_is_guessed(words: list[str], meant: str) -> None:
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 2
    assert f"Did you mean {meant}?" in done.output


def test_a_word_like_none_is_not_guessed() -> None:
    done = CliRunner().invoke(cli, ["xyzzy"])
    assert "No such command 'xyzzy'." in done.output
    assert "mean" not in done.output


def test_the_next_step_names_the_home_of_the_command_line(tmp_path: Path) -> None:
    assert next_step(load(), "3f2a") == "overstory report 3f2a --open"
    elsewhere = next_step(load(home=tmp_path / "a home"), "3f2a")
    assert elsewhere == f"overstory report 3f2a --open --home '{tmp_path / 'a home'}'"


@pytest.mark.parametrize("name", ["commands.asking", "commands.estimate", "commands.tune"])
def test_a_command_that_asks_starts_without_the_sdk(name: str) -> None:
    """It takes half a second to load, and the workers alone need it."""
    script = f"import sys, overstory.{name}; sys.exit('openai' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0
