"""How a worker looks for a broker that has gone."""

from __future__ import annotations

import pytest
from kombu import Connection
from kombu.exceptions import OperationalError

from core.settings import load
from workers import consumer
from workers.app import make_app
from workers.consumer import Consumer


def test_a_worker_looks_for_its_broker_at_least_every_few_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Celery waits for 2, 4, 6 ... 30 s."""
    monkeypatch.setattr(consumer, "RETRY_SECONDS_MAX", 0.01)
    monkeypatch.setattr("kombu.utils.functional.sleep", pauses.append)
    lost = Consumer.__new__(Consumer)
    lost.app = make_app(load())
    lost.app.conf.broker_connection_max_retries = 4
    lost.first_connection_attempt = True
    lost.broker_connection_retry_attempt = 0
    nobody = Connection("redis://127.0.0.1:1/0")
    with pytest.raises(OperationalError):
        lost.ensure_connected(nobody)
    assert pauses
    assert max(pauses) <= 0.01


pauses: list[float] = []
