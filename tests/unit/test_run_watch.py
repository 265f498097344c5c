"""How often a waiting command reads the database."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from core.errors import ServiceAway
from overstory.local import wait
from overstory.local.wait import FAR_IMAGES, FAR_SECONDS, POLL_SECONDS, Looked


class Stop(threading.Event):
    """A stop event that is never set; waiting takes no real time."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.pauses.append(timeout or 0.0)
        return False


def pauses(monkeypatch: pytest.MonkeyPatch, *looks: Looked | ServiceAway) -> list[float]:
    """The command's waits after each read of the database, without the last read."""
    given = iter(looks)

    def look(*_: Any) -> Looked:
        looked = next(given)
        if isinstance(looked, ServiceAway):
            raise looked
        return looked

    monkeypatch.setattr(wait, "look", look)
    stop: Any = Stop()
    wait.watch(None, "job", None, stop, None)  # type: ignore[arg-type]
    return list(stop.pauses)


def test_a_distant_answer_is_polled_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    far, near, unknown = (
        Looked(False, FAR_IMAGES + 1),
        Looked(False, FAR_IMAGES),
        Looked(False, None),
    )
    waited = pauses(monkeypatch, unknown, far, unknown, near, unknown, Looked(True, 0))
    assert waited == [POLL_SECONDS, FAR_SECONDS, FAR_SECONDS, POLL_SECONDS, POLL_SECONDS]


def test_an_unavailable_database_is_polled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    far, away = Looked(False, FAR_IMAGES + 1), ServiceAway("no database")
    assert pauses(monkeypatch, away, far, away, Looked(True, None)) == [
        POLL_SECONDS,
        FAR_SECONDS,
        FAR_SECONDS,
    ]
