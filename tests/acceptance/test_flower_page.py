"""Flower's own pages in a real browser while a job runs: they show tasks and ids, nothing private.

``SCREENSHOTS=folder`` saves screenshots there.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.settings import load
from overstory.client import Client
from tests.support.browser import Browser, Page, find_chromium
from tests.support.command import Endpoint, Person
from tests.support.ports import free_port
from tests.support.waiting import eventually
from workers.endpoints import read_stack

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.timeout(180),
    pytest.mark.skipif(find_chromium() is None, reason="no Chromium here (CHROMIUM names one)"),
]

QUESTION = "the-secret-question about zebras"
STAGES = ("submit", "preprocess", "upload", "infer")
ROWS_MAX = 1_000  # workers look for work all the time, and the first tasks must be among them
ROWS = "[...document.querySelectorAll('#tasks-table tbody tr')].map(row => row.innerText)"


@pytest.fixture
def flower(
    person: Person, endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """Flower's address, in a service whose calls get no reply."""
    person.settings["OVERSTORY_INPUT_ROOTS"] = str(tmp_path)
    endpoint.process.configure(hold=True)
    for name, value in person.settings.items():
        monkeypatch.setenv(name, value)
    words = [sys.executable, "-m", "overstory"]
    port = str(free_port())
    up = [*words, "up", "--detach", "--flower-port", port]
    done = subprocess.run(up, env=person.environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    stack = read_stack(person.home)
    assert stack is not None
    assert stack.flower_url is not None
    try:
        eventually(lambda: _sees_workers(stack.flower_url or ""))
        yield stack.flower_url
    finally:
        subprocess.run([*words, "down", "--now"], env=person.environment, capture_output=True)


def test_a_running_jobs_tasks_are_shown(
    flower: str, endpoint: Endpoint, make_images: Callable[..., Path], tmp_path: Path
) -> None:
    seen = Path(os.environ.get("SCREENSHOTS", tmp_path))
    chromium = find_chromium()
    assert chromium is not None
    with Client(load()) as client:
        job = client.submit([make_images(70)], ask=QUESTION, key="receipts", label="shop")
        eventually(lambda: endpoint.in_flight() == 2)
        with Browser(chromium) as browser:
            with _page(browser, f"{flower}/tasks") as page:
                rows: list[str] = []
                eventually(lambda: _have_all_stages(page, rows), tell=lambda: rows)
                page.drawn()
                page.screenshot(seen / "flower-tasks.png")
                text = page.js("document.documentElement.outerHTML")
                shown = page.js("getComputedStyle(document.querySelector('#tasks-table')).display")
            with _page(browser, f"{flower}/workers") as page:
                workers = eventually(lambda: _workers(page))
                page.screenshot(seen / "flower-workers.png")
        assert client.status(job).status == "running"
    assert shown == "table"
    asked = [row for row in rows if "overstory.infer" in row and "STARTED" in row]
    assert len(asked) == 2
    assert all(f"job {job}, node" in row for row in asked)
    assert any(re.search(r"images 1 to (\d+): \1 of \1 done", row) for row in rows)
    assert any("'key': 'receipts'" in row and job in row for row in rows)
    for queue in ("preprocess", "upload", "infer"):
        assert f"{queue}-service" in workers
    for private in (QUESTION, "secret", endpoint.key, "0001.jpg", str(make_images(0))):
        assert private not in text


def _sees_workers(url: str) -> bool:
    """Whether Flower receives the workers' events: it never shows events that it missed."""
    try:
        with urllib.request.urlopen(f"{url}/workers", timeout=5) as reply:
            return "infer-service" in reply.read().decode()
    except OSError:
        return False


def _page(browser: Browser, url: str):  # type: ignore[no-untyped-def]
    return browser.page(url, width=1600, height=1000)


def _have_all_stages(page: Page, rows: list[str]) -> bool:
    """Whether the table has a row of each stage, and both calls. ``rows`` gets its rows."""
    page.js(f"$('#tasks-table').DataTable().page.len({ROWS_MAX}).draw()")
    time.sleep(0.3)
    rows[:] = page.js(ROWS)
    asked = [row for row in rows if "overstory.infer" in row and "STARTED" in row]
    there = all(any(f"overstory.{stage}" in row for row in rows) for stage in STAGES)
    return there and len(asked) == 2 and all(" to " in row for row in asked)


def _workers(page: Page) -> str:
    text = str(page.js("document.body.innerText")).replace("-\n", "-")  # names wrap at this width
    return text if "infer-service" in text else ""
