"""Webhooks report a job's end, under ``overstory up`` and by an embedded run."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from core.jobs import parse_spec
from core.settings import load
from overstory.client import Client
from overstory.local.job_runner import planning_services
from tasks.submit import submit
from tests.support.command import Person
from tests.support.receiver import SECRET, Receiver
from tests.support.waiting import eventually

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]


@pytest.fixture
def signing(person: Person, monkeypatch: pytest.MonkeyPatch) -> Person:
    """A user with a webhook secret, which this test also has."""
    person.settings |= {
        "OVERSTORY_WEBHOOK_SECRET": SECRET,
        "OVERSTORY_WEBHOOK_HOSTS": "127.0.0.1",
    }
    for name, value in person.settings.items():
        monkeypatch.setenv(name, value)
    return person


def overstory(person: Person, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "overstory", *words],
        env=person.environment,
        capture_output=True,
        text=True,
    )


def test_a_service_on_one_machine_sends_the_webhook(
    signing: Person, receiver: Receiver, make_images: Callable[..., Path], tmp_path: Path
) -> None:
    signing.settings["OVERSTORY_INPUT_ROOTS"] = str(tmp_path)
    done = overstory(signing, "up", "--detach", "--no-flower", "--no-api")
    assert done.returncode == 0, done.stderr
    try:
        with Client(load()) as client:
            job = client.submit([make_images(2)], ask="What?", webhook=receiver.url)
        told = eventually(lambda: receiver.got)
    finally:
        overstory(signing, "down", "--now")
    assert [(hook["type"], hook["data"]["job"]) for hook in told] == [("job.completed", job)]


def test_an_embedded_run_sends_the_webhook_before_it_returns(
    signing: Person, receiver: Receiver, make_images: Callable[..., Path]
) -> None:
    assert overstory(signing, "migrate").returncode == 0
    services = planning_services(load())
    given = {"images": [str(make_images(2))], "ask": "What?", "webhook": receiver.url}
    job = submit(services, parse_spec(given)).job_id
    services.close()
    done = overstory(signing, "resume", job, "--json")
    assert json.loads(done.stdout)["status"] == "completed", done.stderr
    assert [hook["data"]["job"] for hook in receiver.got] == [job]
