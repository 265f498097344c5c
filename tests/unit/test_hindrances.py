"""When a job that stands still is said to wait for workers, and for which."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from core.errors import ServiceAway, ServiceRefuses
from core.settings import load
from overstory.local.hindrances import AGAIN_SECONDS, QUIET_SECONDS, WorkerSearch, absent
from workers import broker_health
from workers.broker_health import await_broker, passing_trouble

ALL = {"submit", "preprocess", "upload", "infer", "aggregate"}


@pytest.mark.parametrize(
    ("taken", "says"),
    [
        (ALL, ""),
        (set(), "no worker answers"),
        (ALL - {"infer"}, "no worker takes from infer;"),
        ({"mail"}, "no worker takes from submit, preprocess, upload, infer, aggregate;"),
    ],
)
def test_the_queues_without_a_worker_are_named(taken: set[str], says: str) -> None:
    assert (absent(taken) != "") == (says != "")
    assert says in absent(taken)


def test_a_job_that_moves_asks_nobody_and_one_that_stands_still_is_told_once_known() -> None:
    asked, taken = threading.Event(), set[str]()

    def ask() -> set[str]:
        asked.set()
        return taken

    search = WorkerSearch(ask)

    def note(moving: object, now: float) -> str:
        said = search.note(moving, now)
        for thread in threading.enumerate():
            if thread.name == "workers":
                thread.join()
        return said

    assert note(1, 0.0) == ""
    assert note(2, QUIET_SECONDS) == "", "it moved"
    assert not asked.is_set()
    note(2, 2 * QUIET_SECONDS)
    assert asked.is_set()
    assert "no worker answers" in note(2, 2 * QUIET_SECONDS + 1.0)
    taken |= ALL
    note(2, 2 * QUIET_SECONDS + AGAIN_SECONDS)
    assert note(2, 2 * QUIET_SECONDS + AGAIN_SECONDS + 1.0) == "", "a worker came"


def test_what_passes_is_waited_for_and_what_does_not_is_raised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = load(broker_url="redis://127.0.0.1:1/0", api_key="k")
    full, never = ServiceRefuses("full", "wait", True), ServiceRefuses("no", "set it")
    coming: list[Any] = [full, full, None]
    pauses: list[float] = []

    def check(_: object) -> None:
        error = coming.pop(0)
        if error is not None:
            raise error

    monkeypatch.setattr(broker_health, "check", check)
    await_broker(settings, pauses.append)
    assert len(pauses) == 2
    coming += [ServiceAway("gone")]
    await_broker(settings, pauses.append)
    assert len(pauses) == 2, "Celery waits for a server that does not answer"
    coming += [never]
    with pytest.raises(ServiceRefuses, match="no: set it"):
        await_broker(settings, pauses.append)
    assert passing_trouble(load()) is None, "the embedded one is ours"
