"""The crew: workers forked from one process that has loaded the code."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.settings import load
from overstory import crew as crews
from overstory.crew import Crew, Fork
from overstory.embedded import Embedded, prepare_home
from workers.app import make_app

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="Linux alone has pidfds"),
    # the stack forgets its Popen of what others may take over, and stops it by its pid
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
SECONDS = 60.0


@pytest.fixture
def crew(home: Path) -> Iterator[Crew]:
    prepare_home(home)
    made = crews.begin(load())
    assert made is not None
    yield made
    made.dismiss()


@pytest.fixture
def stack(crew: Crew) -> Iterator[Embedded]:
    embedded = Embedded(load(cpu_workers=1), crew=crew)
    embedded.start()
    yield embedded
    embedded.stop_workers(0.0)
    embedded.stop()


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_workers_are_forks_with_a_session_and_a_log_of_their_own(stack: Embedded) -> None:
    stack.start_workers()
    for worker in stack.workers:
        assert isinstance(worker.process, Fork)
        assert os.getsid(worker.process.pid) == worker.process.pid
    logs = [path for path in (stack.settings.home / "logs").glob("*.log") if path.stem != "sandbox"]
    assert len(logs) == len(stack.workers)
    eventually(lambda: all(" ready." in log.read_text("utf-8") for log in logs))


def test_workers_end_when_they_are_asked_to(stack: Embedded) -> None:
    stack.start_workers()
    processes = [worker.process for worker in stack.workers]
    stack.stop_workers(SECONDS)
    assert all(process is not None and process.poll() is not None for process in processes)


def test_workers_end_when_their_crew_is_gone(stack: Embedded, crew: Crew) -> None:
    stack.start_workers()
    crew.dismiss()
    for worker in stack.workers:
        assert worker.process is not None
        worker.process.wait(SECONDS)


def test_a_worker_that_died_is_started_alone_where_the_crew_is_gone(
    stack: Embedded, crew: Crew
) -> None:
    stack.start_workers()
    crew.dismiss()
    for worker in stack.workers:
        assert worker.process is not None
        worker.process.wait(SECONDS)
    assert stack.revive() == len(stack.workers)
    assert all(isinstance(worker.process, subprocess.Popen) for worker in stack.workers)


def test_there_is_no_crew_where_the_workers_are_somebody_elses() -> None:
    assert crews.begin(load(broker_url="redis://127.0.0.1:1/0")) is None


def test_a_crew_that_began_early_is_the_one_that_is_used(crew: Crew) -> None:
    assert crews.begin(load(), crew) is crew


def test_a_crew_that_began_early_for_nothing_is_sent_away(crew: Crew) -> None:
    assert crews.begin(load(broker_url="redis://127.0.0.1:1/0"), crew) is None
    assert crew.fork({}) is None


def test_a_broker_of_ones_own_is_known_before_any_setting_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OVERSTORY_BROKER_URL", "redis://127.0.0.1:1/0")
    assert crews.early() is None


def test_a_crew_begins_before_anything_of_ours_is_loaded() -> None:
    """Its own loading takes as long as the command's: what it waits for is lost."""
    told = "import overstory.cli, sys; print([n for n in ('core', 'models') if n in sys.modules])"
    loaded = subprocess.check_output([sys.executable, "-c", told], text=True)
    assert loaded.strip() == "['core']"  # the errors' names alone


def test_a_workers_last_pop_takes_no_message_with_it(stack: Embedded) -> None:
    """A message that is sent while the workers end is there for whoever comes next."""
    stack.start_workers()
    logs = [stack.log_file(stack._name(worker, n)) for n, worker in enumerate(stack.workers)]
    eventually(lambda: all(log.exists() and " ready." in log.read_text("utf-8") for log in logs))
    stack.stop_workers(SECONDS)
    app = make_app(stack.settings)
    with app.connection_for_write() as connection:
        for queue in ("preprocess", "upload", "infer"):
            connection.SimpleQueue(queue).put({"hint": queue})
            assert connection.SimpleQueue(queue).qsize() == 1
