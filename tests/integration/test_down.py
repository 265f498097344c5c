"""``overstory down`` beside a service whose supervisor was killed."""

from __future__ import annotations

import fcntl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from core.errors import ServiceAway
from overstory.commands.service import down
from overstory.local.servers import postgres, processes
from overstory.local.supervisor import end_left
from tests.support.waiting import eventually, lives
from workers.endpoints import Stack, read_stack

SUPERVISOR = """
from core.settings import load
from overstory.local.home import prepare_home
from overstory.local.stack import LocalStack
from overstory.local.supervisor import Supervisor, only_one
from overstory.local.workers import SERVICE
settings = load()
prepare_home(settings.home)
with only_one(settings.home):
    Supervisor(settings, with_postgres=True)._start_postgres()
    embedded = LocalStack(settings, name=SERVICE)
    embedded.start()
    embedded.become_service(None)
    print("up", flush=True)
    input()
"""


def said() -> str:
    done = CliRunner().invoke(down, [], catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


@pytest.fixture
def home(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Not under pytest's folder: if root runs the test, the server's user cannot enter that."""
    with tempfile.TemporaryDirectory(prefix="overstory-", ignore_cleanup_errors=True) as folder:
        monkeypatch.setenv("OVERSTORY_HOME", folder)
        yield Path(folder)


@pytest.fixture
def left(home: Path) -> Iterator[Stack]:
    """A killed service that had started a PostgreSQL and a sandbox."""
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
    if postgres.is_left(home):
        postgres.stop_stray(home)


def test_leftovers_of_a_killed_service_are_ended_and_named_when_no_run_uses_them(
    left: Stack, home: Path
) -> None:
    with (home / "run" / "users.lock").open() as run:
        fcntl.flock(run, fcntl.LOCK_SH)
        with pytest.raises(ServiceAway, match="again when the run has ended"):
            end_left(home)
    assert postgres.answers(home)
    assert lives(left.broker_pid)
    assert said() == "no service is up; ended what it left: PostgreSQL, Valkey, the sandbox\n"
    assert not postgres.answers(home)
    eventually(lambda: not lives(left.broker_pid))
    assert not processes.lives(left.sandbox_pid, str(home))
    assert read_stack(home) is None
    assert said() == "no service is up\n"
