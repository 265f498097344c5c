"""The fork_server: workers forked from one process that has loaded the code."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.settings import Settings, load
from overstory.local import forks
from overstory.local.forks import Fork, ForkServer
from overstory.local.home import prepare_home
from overstory.local.stack import LocalStack
from overstory.local.workers import planned_workers
from tests.support.waiting import eventually, lives
from workers.app import make_app
from workers.endpoints import read_stack

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="Linux alone has pidfds"),
    # the stack drops its Popen of shared processes and stops them by pid
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
SECONDS = 60.0


@pytest.fixture
def fork_server(home: Path) -> Iterator[ForkServer]:
    prepare_home(home)
    made = forks.begin(load())
    assert made is not None
    yield made
    made.dismiss()


@pytest.fixture
def stack(fork_server: ForkServer) -> Iterator[LocalStack]:
    embedded = LocalStack(load(cpu_workers=1), fork_server=fork_server)
    embedded.start()
    yield embedded
    embedded.stop_workers(0.0)
    embedded.stop()


def test_workers_are_forks_with_their_own_session_and_log(stack: LocalStack) -> None:
    stack.start_workers()
    for worker in stack.workers:
        assert isinstance(worker.process, Fork)
        assert os.getsid(worker.process.pid) == worker.process.pid
    logs = [path for path in (stack.settings.home / "logs").glob("*.log") if path.stem != "sandbox"]
    assert len(logs) == len(stack.workers)
    eventually(lambda: all(" ready." in log.read_text("utf-8") for log in logs), SECONDS)


def test_workers_end_on_request(stack: LocalStack) -> None:
    stack.start_workers()
    processes = [worker.process for worker in stack.workers]
    stack.stop_workers(SECONDS)
    assert all(process is not None and process.poll() is not None for process in processes)


def test_workers_end_when_their_fork_server_is_gone(
    stack: LocalStack, fork_server: ForkServer
) -> None:
    stack.start_workers()
    fork_server.dismiss()
    for worker in stack.workers:
        assert worker.process is not None
        worker.process.wait(SECONDS)


def test_a_dead_worker_is_started_without_the_fork_server_if_that_is_gone(
    stack: LocalStack, fork_server: ForkServer
) -> None:
    stack.start_workers()
    fork_server.dismiss()
    for worker in stack.workers:
        assert worker.process is not None
        worker.process.wait(SECONDS)
    assert stack.revive() == len(stack.workers)
    assert all(isinstance(worker.process, subprocess.Popen) for worker in stack.workers)


@pytest.mark.parametrize("made", [forks.begin, forks.split])
def test_no_fork_server_is_started_if_another_process_runs_the_workers(
    made: Callable[[Settings], ForkServer | None],
) -> None:
    assert made(load(broker_url="redis://127.0.0.1:1/0")) is None


def test_a_service_forks_its_workers_whoever_runs_the_broker() -> None:
    made = forks.begin(load(broker_url="redis://127.0.0.1:1/0"), service=True)
    assert made is not None
    made.dismiss()


def test_a_dismissed_fork_server_is_not_killed_again(
    fork_server: ForkServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pid may belong to another process by then."""
    fork_server.dismiss()
    monkeypatch.setattr(os, "kill", lambda pid, sign: pytest.fail(f"killed {pid}"))
    fork_server.dismiss()


def test_a_process_with_threads_is_not_forked(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare_home(home)
    monkeypatch.setattr(os, "fork", lambda: pytest.fail("forked with a thread"))
    ended = threading.Event()
    thread = threading.Thread(target=ended.wait)
    thread.start()
    fork_server = forks.split(load())
    assert fork_server is not None
    fork_server.dismiss()
    ended.set()
    thread.join()


SPLIT = """
import sys, time
from core.settings import load
import workers.parent
workers.parent.IDLE_SECONDS = 2.0
from overstory.local.forks import Fork, split
fork_server = split(load())
from overstory.local.stack import LocalStack
embedded = LocalStack(load(cpu_workers=1), fork_server=fork_server)
embedded.begin()
embedded.start()
embedded.start_workers()
members = {fork_server._preparing.pid, fork_server._calling.pid}
workers = [worker.process.pid for worker in embedded.workers if isinstance(worker.process, Fork)]
print(len(members), *members, *workers, flush=True)
sys.stdin.readline()
embedded.stop_workers(60.0)
embedded.stop()
"""


STUCK = """
import time
from celery.worker.heartbeat import Heart
Heart.start = lambda self: [time.sleep(1) for _ in iter(int, 1)]
"""


@pytest.fixture
def command(home: Path, request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    """A command that started a fork server and waits for a line."""
    process = subprocess.Popen(
        [sys.executable, "-c", getattr(request, "param", SPLIT)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    yield process
    process.kill()
    process.communicate()
    if (left := read_stack(home)) is not None:  # for the next run, after a kill
        for pid in filter(None, (left.broker_pid, left.sandbox_pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def family(command: subprocess.Popen[str]) -> list[int]:
    """The two processes of its fork server, and the workers that these forked."""
    assert command.stdout is not None
    count, *pids = map(int, command.stdout.readline().split())
    assert count == 2
    assert len(pids) == count + len(planned_workers(load(cpu_workers=1)))
    return pids


def test_a_fork_server_has_two_processes_that_keep_nothing_of_its_command(
    command: subprocess.Popen[str],
) -> None:
    members = family(command)[:2]
    for pid in members:
        assert os.getsid(pid) == pid
        *streams, source = sorted(Path(f"/proc/{pid}/fd").iterdir(), key=lambda fd: int(fd.name))
        assert [int(fd.name) for fd in streams] == [0, 1, 2]
        assert str(source.readlink()).startswith("socket:")  # to the source of decoding processes


def test_the_fork_server_and_workers_end_with_the_command(command: subprocess.Popen[str]) -> None:
    pids = family(command)
    command.communicate("end\n", timeout=SECONDS)
    assert command.returncode == 0
    assert not any(lives(pid) for pid in pids)


def test_the_fork_server_and_workers_end_when_the_command_is_killed(
    command: subprocess.Popen[str],
) -> None:
    pids = family(command)
    command.kill()
    eventually(lambda: not any(lives(pid) for pid in pids), SECONDS)


def until_ready(stack: LocalStack) -> None:
    stack.start_workers()
    logs = stack.settings.home / "logs"
    eventually(
        lambda: (
            sum(" ready." in log.read_text("utf-8") for log in logs.glob("*.log"))
            == len(stack.workers)
        ),
        SECONDS,
    )


@pytest.mark.parametrize(
    ("name", "wish", "before"),
    [
        ("a-run", None, "task events enabled"),  # it sent none
        ("service", None, "task events already enabled"),
        ("a-run", True, "task events already enabled"),
    ],
)
def test_workers_of_a_run_send_no_events_until_a_monitor_asks(
    stack: LocalStack, name: str, wish: bool | None, before: str
) -> None:
    """Flower enables events in the same way."""
    stack.name = name
    stack.settings = stack.settings.model_copy(update={"task_events": wish})
    until_ready(stack)
    replies = make_app(stack.settings).control.enable_events(
        reply=True, timeout=SECONDS, limit=len(stack.workers)
    )
    assert {told["ok"] for reply in replies for told in reply.values()} == {before}
    assert len(replies) == len(stack.workers)


@pytest.mark.parametrize("command", [STUCK + SPLIT], indirect=True)
def test_workers_that_ignore_signals_end_with_their_command(
    command: subprocess.Popen[str], home: Path
) -> None:
    """Like workers that start when their broker is gone: they try to connect forever."""
    pids = family(command)
    logs = [path for path in (home / "logs").glob("*.log") if path.stem != "sandbox"]
    eventually(lambda: all("Connected to" in log.read_text("utf-8") for log in logs), SECONDS)
    command.kill()
    eventually(lambda: not any(lives(pid) for pid in pids), SECONDS)


def test_a_stopping_workers_last_pop_loses_no_message(stack: LocalStack) -> None:
    """A message sent while the workers end stays in the queue for the next worker."""
    until_ready(stack)
    stack.stop_workers(SECONDS)
    app = make_app(stack.settings)
    with app.connection_for_write() as connection:
        for queue in ("preprocess", "upload", "infer"):
            connection.SimpleQueue(queue).put({"hint": queue})
            assert connection.SimpleQueue(queue).qsize() == 1
