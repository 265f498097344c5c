"""Text from models and users cannot send control sequences to a terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys

import pytest
from sqlalchemy import update

from core.states import JobStatus
from models import state
from models.engine import Database
from models.tables import Image, Job, Node
from tests.support import jobs, shell

SPELL = "\x1b]0;owned\x07\x1b[31mred\x9b2J\r\nsecond\tline\u202e"
TOLD = "\\x1b]0;owned\\x07\\x1b[31mred\\x9b2J"
ORDERS = re.compile(r"\x1b(?!\[[?\d;]*[mhlAK])|\x1b\[31m|[\x07\x9b\u202e]")
"""Control characters that our lines never send; our own output uses colours and redraws."""
COMMANDS = [
    ["show", "JOB"], ["jobs"], ["tree", "JOB"], ["images", "JOB"], ["watch", "JOB"],
    ["export", "JOB", "--format", "csv"], ["show", SPELL],
]  # fmt: skip
JSON = [
    ["show", "JOB", "--json"], ["jobs", "--json"], ["images", "JOB", "--json"],
    ["tree", "JOB", "--json"], ["export", "JOB"],
]  # fmt: skip
EACH = """
import contextlib, json, sys
from overstory.cli import main
for words in json.loads(sys.argv[1]):
    sys.argv = ["overstory", *words]
    with contextlib.suppress(SystemExit):
        main()
    print("=====", flush=True)
"""
"""One process for all commands, because start-up takes most of the time."""


@pytest.fixture
def job(own: Database) -> str:
    """An ended job whose texts all contain control sequences."""
    name = jobs.submit(own)
    with own.write() as connection:
        state.job_failed(connection, name, SPELL, state.Moved())
        connection.execute(update(Image).values(error=SPELL))
        connection.execute(update(Node).values(text=SPELL))
        connection.execute(
            update(Job).values(ask=SPELL, label=SPELL, answer=SPELL, status=JobStatus.PARTIAL)
        )
    return name


def on_a_terminal(*commands: list[str]) -> list[str]:
    """The terminal output of each command, by line."""
    ours, theirs = pty.openpty()
    words = [sys.executable, "-c", EACH, json.dumps(commands)]
    shown = {**os.environ, "TERM": "xterm", "COLUMNS": "150"}
    with subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs, env=shown):
        os.close(theirs)
        found = b""
        while more := _read(ours):
            found += more
    os.close(ours)
    return found.decode().replace("\r\n", "\n").split("=====\n")[:-1]


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65_536)
    except OSError:  # no writer is left
        return b""


def test_no_foreign_text_sends_control_sequences_to_a_terminal(job: str) -> None:
    commands = [[word.replace("JOB", job) for word in words] for words in COMMANDS]
    seen = on_a_terminal(*commands)
    assert len(seen) == len(COMMANDS)
    for words, text in zip(COMMANDS, seen, strict=True):
        assert ORDERS.search(text) is None, (words, text)
        assert "\\x1b]0;owned" in text, words
    assert f"{TOLD}\nsecond\tline\\u202e\n" in seen[0]  # an answer keeps its lines and tabs


def test_json_on_a_terminal_is_ascii(job: str) -> None:
    commands = [[word.replace("JOB", job) for word in words] for words in JSON]
    for words, text in zip(JSON, on_a_terminal(*commands), strict=True):
        assert text.isascii(), words
        assert ORDERS.search(text) is None, words
        for line in text.splitlines():
            assert json.loads(line), words
        assert "\\u202e" in text, words


def test_a_pipe_gets_the_unchanged_answer(job: str) -> None:
    assert SPELL in shell.say("show", job).stdout
    assert "\u202e" in shell.say("show", job, "--json").stdout
    assert "\u202e" in shell.say("export", job).stdout
