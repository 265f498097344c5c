"""``overstory up`` keeps a service running, ``run`` uses it, ``down`` ends it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from celery import Celery

from core.settings import load
from overstory.local.stack import served_by
from tests.support.waiting import command_line, eventually
from workers.endpoints import broker_url, read_stack

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]


@pytest.fixture(autouse=True)
def _wants_the_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OVERSTORY_SANDBOX", "true")


def overstory(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "overstory", *words], capture_output=True, text=True
    )


@pytest.fixture
def up(
    home: Path, empty_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[psutil.Process]:
    """A service over the test's home, as a process with children. Apps may name only ``shop``."""
    monkeypatch.setenv("OVERSTORY_DATABASE_URL", empty_url)
    monkeypatch.setenv("OVERSTORY_INPUT_ROOTS", str(tmp_path / "shop"))
    before = os.umask(0o022)
    done = overstory("up", "--detach")
    os.umask(before)
    assert done.returncode == 0, done.stderr
    assert broker_url(load()) in done.stdout
    pid = served_by(home)
    assert pid is not None
    process = psutil.Process(pid)
    family = process.children(recursive=True)
    try:
        yield process
    finally:
        overstory("down", "--now")
        for left in psutil.wait_procs([process, *family], 10.0)[1]:
            left.kill()


def child(service: psutil.Process, word: str) -> psutil.Process:
    """A part of the service: one it started, or a fork, which has a name of its own."""
    return eventually(lambda: _child(service, word))


def _child(service: psutil.Process, word: str) -> psutil.Process | None:
    """None as well if a part ends while we look."""
    with contextlib.suppress(psutil.Error):
        for process in service.children(recursive=True):
            if word in " ".join([process.name(), *command_line(process)]):
                return process
    return None


def umask_of(process: psutil.Process) -> str:
    status = Path(f"/proc/{process.pid}/status")
    if not status.exists():
        pytest.skip("only Linux tells the umask of a process")
    return status.read_text().partition("Umask:\t")[2].split()[0]


def ask(url: str | urllib.request.Request) -> int:
    with urllib.request.urlopen(url, timeout=60) as reply:
        return int(reply.status)


@pytest.mark.parametrize("empty_url", ["sqlite"], indirect=True)
def test_a_service_starts_works_and_ends(
    up: psutil.Process, home: Path, make_images: Callable[..., Path]
) -> None:
    # a second service of the same home is refused
    again = overstory("up")
    assert again.returncode == 2
    assert "overstory down" in again.stderr

    # the dashboard answers on the loopback
    stack = read_stack(home)
    assert stack is not None
    assert stack.flower_url is not None
    eventually(lambda: "Visit me" in (home / "logs" / "flower.log").read_text())
    assert ask(f"{stack.flower_url}/tasks") == 200
    rebound = urllib.request.Request(f"{stack.flower_url}/tasks", headers={"Host": "web.example"})
    with pytest.raises(urllib.error.HTTPError, match="403"):
        ask(rebound)

    # whatever its processes create is for their user alone
    family = {up, *up.children(recursive=True), psutil.Process(stack.broker_pid)}
    assert {umask_of(process) for process in family} == {"0077"}
    assert [path for path in home.rglob("*") if path.lstat().st_mode & 0o077] == []

    # its workers are forks of servers that have loaded the code once
    assert child(up, "infer-service").ppid() in {started.pid for started in up.children()}

    # a run uses the service's workers and starts none
    folder = str(make_images(3))
    done = overstory("run", folder, "--ask", "What?", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["coverage"]["included"] == 3
    workers = {path.name for path in (home / "logs").glob("*-*-*.log")}
    assert workers
    assert all("-service-" in name for name in workers)

    # another app reaches it through the socket with only Celery, and only the folder it may name
    allowed = str(make_images(2, folder="shop"))
    with Celery(broker=broker_url(load()), backend=broker_url(load())) as shop:
        for images, state in ((allowed, "SUCCESS"), (folder, "FAILURE"), ("/nowhere", "FAILURE")):
            sent = shop.send_task("overstory.submit", kwargs={"images": [images], "ask": "Who?"})
            eventually(sent.ready)
            assert sent.state == state
            assert state == "SUCCESS" or "OVERSTORY_INPUT_ROOTS" in str(sent.result)

    # a killed process is restarted and works
    family = set(up.children(recursive=True))
    for word in ("infer", "reconciler"):
        dead = child(up, word)
        os.kill(dead.pid, signal.SIGKILL)
        eventually(lambda word=word, dead=dead: _replaced(up, word, dead))
    more = str(make_images(2, folder="more", start=50))
    assert overstory("run", more, "--ask", "What?").returncode == 0

    # ``down`` ends every process and reports it
    family |= set(up.children(recursive=True))
    assert overstory("down").stdout == "down\n"
    assert psutil.wait_procs(family, 10.0)[1] == []
    assert served_by(home) is None
    assert overstory("down").stdout == "no service is up\n"


def _replaced(service: psutil.Process, word: str, dead: psutil.Process) -> bool:
    found = _child(service, word)
    return found is not None and found.pid != dead.pid
