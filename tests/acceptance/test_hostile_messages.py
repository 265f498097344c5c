"""Messages that cannot be read end no worker, and their senders are told."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery
from celery.result import AsyncResult
from kombu import Connection

from core import stages
from core.settings import load
from tests.support.waiting import eventually
from workers.endpoints import broker_url

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]

NAMED = '[[], {"images": ["/nowhere.jpg"], "ask": "?"}, {}]'
DEEP = "[" * 100_000 + "]" * 100_000
LEVELS = '{"properties":{"a":' * 400 + "{}" + "}}" * 400
BODIES = {
    "deep": (f'[[], {{"images": {DEEP}}}, {{}}]', "cannot be read|nested too deep"),
    "400 levels": (f'[[], {{"images": ["a"], "ask": "?", "schema": {LEVELS}}}, {{}}]', "64 levels"),
    "an empty list": ("[]", "not JSON in the form of a task message"),
    "a number": ("5", "not JSON in the form of a task message"),
    "a text": ('"abc"', "not JSON in the form of a task message"),
    "no JSON": ("{", "not JSON in the form of a task message"),
    "a list for a dict": ("[{}, [], {}]", "not JSON in the form of a task message"),
    "40 MB": (f'[[], {{"ask": "{"x" * 40_000_000}"}}, {{}}]', "OVERSTORY_MAX_MESSAGE_BYTES"),
}


def overstory(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "overstory", *words], capture_output=True, text=True
    )


@pytest.fixture
def service(home: Path) -> Iterator[Celery]:
    """A service over the test's home, as another app sees it."""
    done = overstory("up", "--detach", "--no-flower", "--no-api", "--sandbox")
    assert done.returncode == 0, done.stderr
    url = broker_url(load())
    try:
        yield Celery(broker=url, backend=url)
    finally:
        overstory("down", "--now")


def publish(app: Celery, body: str, queue: str = "submit", **headers: object) -> AsyncResult:
    sender = str(uuid.uuid4())
    named = {"task": stages.SUBMIT.task, "id": sender, "lang": "py", "root_id": sender}
    with Connection(app.conf.broker_url) as connection:
        connection.Producer().publish(
            body,
            routing_key=queue,
            content_type="application/json",
            content_encoding="utf-8",
            headers=named | headers,
        )
    return app.AsyncResult(sender)


def reason(result: AsyncResult) -> str:
    eventually(lambda: result.state == "FAILURE", 60.0)
    return str(result.result)


def test_no_message_ends_a_worker_and_every_sender_is_told(service: Celery, home: Path) -> None:
    assert "OVERSTORY_INPUT_ROOTS" in reason(publish(service, NAMED))
    for body, wanted in BODIES.values():
        told = reason(publish(service, body))
        assert any(part in told for part in wanted.split("|")), told
    for stage in stages.STAGES:  # nobody is told, and nobody stops
        publish(service, "[]", stage.name, task=stage.task)
        publish(service, NAMED, stage.name, task=["a list"])
        publish(service, NAMED, stage.name, eta="never")
    for number in range(20):  # one for each thread of the worker
        assert "OVERSTORY_INPUT_ROOTS" in reason(publish(service, NAMED, number=number))
    assert "service.revived" not in (home / "logs" / "service.log").read_text()
