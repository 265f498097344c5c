"""Recorded processes are identified by id, command line and creation time."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from overstory.local.servers import processes

STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("up", flush=True)
time.sleep(600)
"""


@pytest.fixture
def stubborn(monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[str]]:
    """A process that ignores SIGTERM."""
    monkeypatch.setattr(processes, "END_SECONDS", 0.2)
    command = [sys.executable, "-c", STUBBORN, "/a/path with spaces/x"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def test_a_process_that_ignores_sigterm_is_killed(stubborn: subprocess.Popen[str]) -> None:
    assert processes.lives(stubborn.pid, "/nowhere", "/a/path with spaces/x")
    assert processes.end(stubborn.pid, "/a/path with spaces/x")
    assert stubborn.wait() == -9


def test_a_process_with_another_command_line_is_left_alone(stubborn: subprocess.Popen[str]) -> None:
    assert not processes.end(stubborn.pid, "/another/path")
    assert stubborn.poll() is None


def test_a_process_that_reuses_the_id_is_not_killed(
    stubborn: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the same command line, but created later."""
    recorded, later = psutil.Process(stubborn.pid), psutil.Process(stubborn.pid)
    monkeypatch.setattr(later, "_ident", (stubborn.pid, later.create_time() + 60.0))
    answers = iter([recorded, later])
    monkeypatch.setattr(processes, "_process", lambda pid, marks, since: next(answers))
    assert processes.end(stubborn.pid, "/a/path with spaces/x")
    assert stubborn.poll() is None


def test_a_process_that_has_only_just_begun_is_known() -> None:
    """While a process becomes another program, Linux shows no command line of it."""
    for _ in range(50):
        words = [sys.executable, "-S", "-c", "input()", "/a/path with spaces/x"]
        with subprocess.Popen(words, stdin=subprocess.PIPE) as process:
            assert processes.lives(process.pid, "/a/path with spaces/x")
            process.kill()
