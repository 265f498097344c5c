"""How often a waiting command reads the database."""

from __future__ import annotations

import threading
from typing import Any
from unittest.mock import Mock

import pytest

from core.errors import ServiceAway
from overstory.local import wait
from overstory.local.wait import FAR_IMAGES, FAR_SECONDS, POLL_SECONDS, View


class Stop(threading.Event):
    """A stop event that is never set; waiting takes no real time."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.pauses.append(timeout or 0.0)
        return False


def pauses(monkeypatch: pytest.MonkeyPatch, *views: View | ServiceAway) -> list[float]:
    """How long the command waited after each check but the last, which is the end."""
    coming = iter(views)

    def check(*_: Any) -> View:
        view = next(coming)
        if isinstance(view, ServiceAway):
            raise view
        return view

    monkeypatch.setattr(wait, "check", check)
    stop: Any = Stop()
    wait.watch(None, "job", Mock(), stop, None)  # type: ignore[arg-type]
    return list(stop.pauses)


def test_a_distant_answer_is_polled_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    far, near, unknown = (
        View(False, FAR_IMAGES + 1),
        View(False, FAR_IMAGES),
        View(False, None),
    )
    waited = pauses(monkeypatch, unknown, far, unknown, near, unknown, View(True, 0))
    assert waited == [POLL_SECONDS, FAR_SECONDS, FAR_SECONDS, POLL_SECONDS, POLL_SECONDS]


def test_a_database_that_is_away_is_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    far, away = View(False, FAR_IMAGES + 1), ServiceAway("no database")
    assert pauses(monkeypatch, away, far, away, View(True, None)) == [
        POLL_SECONDS,
        FAR_SECONDS,
        FAR_SECONDS,
    ]
