"""``overstory down`` beside a service whose supervisor was killed."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from overstory.commands.service import down
from overstory.local.servers import processes
from overstory.local.supervisor import end_left
from tests.support.waiting import eventually, lives
from workers.endpoints import Stack, read_stack

SUPERVISOR = """
from core.settings import load
from overstory.local.home import prepare_home
from overstory.local.stack import LocalStack
from overstory.local.supervisor import only_one
from overstory.local.workers import SERVICE
settings = load()
prepare_home(settings.home)
with only_one(settings.home):
    embedded = LocalStack(settings, name=SERVICE)
    embedded.start()
    embedded.become_service(None, None)
    print("up", flush=True)
    input()
"""


def said() -> str:
    done = CliRunner().invoke(down, [], catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


@pytest.fixture
def left(home: Path) -> Iterator[Stack]:
    """A killed service that had started a sandbox."""
    words = [sys.executable, "-c", SUPERVISOR]
    with subprocess.Popen(words, stdin=-1, stdout=-1, text=True) as supervisor:
        assert supervisor.stdout is not None
        assert supervisor.stdout.readline() == "up\n"
        stack = read_stack(home)
        assert stack is not None
        supervisor.kill()
    yield stack
    for pid in (stack.broker_pid, stack.sandbox_pid):
        processes.end(pid, str(home))


def test_leftovers_of_a_killed_service_are_ended_and_named_when_no_run_uses_them(
    left: Stack, home: Path
) -> None:
    with (home / "run" / "users.lock").open() as run:
        fcntl.flock(run, fcntl.LOCK_SH)
        assert end_left(home) == []
    assert lives(left.broker_pid)
    assert said() == "no service is up; ended what it left: Valkey, the sandbox\n"
    eventually(lambda: not lives(left.broker_pid))
    assert not processes.lives(left.sandbox_pid, str(home))
    assert read_stack(home) is None
    assert said() == "no service is up\n"
