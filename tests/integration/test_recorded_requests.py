"""Requests and keys compared with a recording: paid replies must stay reachable.

A key is a hash of the request's body, so one changed byte of a prompt or parameter makes every paid
reply unreachable. A change that intends this must record the file again and mention it in the
changelog: ``RECORD_REQUESTS=1 pytest tests/integration/test_recorded_requests.py``.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from core.catalog.tokens import HIGH_TOKENS_MAX
from tasks import followups
from tests.support.account import Account
from tests.support.fake_endpoint import Answer, FakeEndpoint, Received

RECORDING = Path(__file__).parent / "recorded" / "requests.json"
IMAGES = 8
FRUIT = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 40},
        "ripe": {"type": "boolean"},
        "weight": {"type": "number"},
    },
    "required": ["name", "ripe"],
}
BASKET = {
    "type": "object",
    "properties": {
        "summary": {"type": "string"},
        "count": {"type": "integer"},
        "names": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["summary", "count", "names"],
}
OWN_PROMPTS = {"leaf": "$these: $question", "system": "Be brief."}


def notes(images: int, first_time: bool) -> str:
    return "".join(f"[{n}] a square. " for n in range(1, images + 1)) or "Squares [1-8]."


def cites_falsely_once(images: int, first_time: bool) -> str:
    return "Everything [99]." if first_time else notes(images, first_time)


def empty_once(images: int, first_time: bool) -> str:
    return "" if first_time else notes(images, first_time)


def keyed(value: Any, about_all: Any = None) -> Callable[[int, bool], str]:
    """A JSON reply with ``value`` for each image; the first reply omits the last image."""

    def reply(images: int, first_time: bool) -> str:
        if not images:
            return json.dumps(about_all) if isinstance(about_all, dict) else str(about_all)
        shown = range(1, images + (1 if images == 1 or not first_time else 0))
        said = {str(n): value for n in shown}
        return json.dumps(said | ({"whole": about_all} if about_all else {}))

    return reply


@dataclass(frozen=True)
class Scene:
    """One job: what is asked, and what the model replies to (images, is it the first time)."""

    reply: Callable[[int, bool], str] = notes
    spec: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    images: int = IMAGES
    then_ask: str | None = None


SCENES = {
    "one request": Scene(images=3),
    "tree": Scene(),
    "inline": Scene(settings={"provider": "openai", "model": "some-model"}),
    "high detail": Scene(images=3, spec={"detail": "high"}),
    "reasoning effort": Scene(images=3, settings={"reasoning_effort": "low"}),
    "own prompts": Scene(spec={"prompts": OWN_PROMPTS}),
    "false citation": Scene(reply=cites_falsely_once),
    "empty reply": Scene(reply=empty_once),
    "each": Scene(keyed("a square"), {"ask": None, "each": "What is it?"}),
    "each and ask": Scene(keyed("a square", "Squares [1]."), {"each": "What is it?"}),
    "each with a schema": Scene(
        keyed({"name": "pear", "ripe": True, "weight": 1.5}),
        {"ask": None, "each": "Which fruit?", "schema": FRUIT},
    ),
    "schema of the set": Scene(
        keyed({"count": 1, "names": ["pear"]}, {"summary": "Pears."}), {"schema": BASKET}
    ),
    "conversation": Scene(images=3, then_ask="And the largest?"),
    "question to the notes": Scene(then_ask="And the largest?"),
}


class Recorder(FakeEndpoint):
    """Answers as the scene defines, and keeps every chat body with images named by content."""

    def __init__(self, scene: Scene) -> None:
        super().__init__()
        self.scene = scene
        self.bodies: list[dict[str, Any]] = []
        self._seen: Counter[str] = Counter()
        self._keeps = threading.Lock()

    def take(self, request: Received) -> Answer:
        if request.method == "POST" and request.path.endswith("/files"):
            content = request.body.split(b"\r\n\r\n")[-1].rsplit(b"\r\n--", 1)[0]
            sha256 = hashlib.sha256(content).hexdigest()
            return Answer(body={"id": f"file-{sha256}", "object": "file", "bytes": len(content)})
        if not request.path.endswith("/chat/completions"):
            return Answer(body={"object": "list", "data": []})
        body = json.loads(request.body)
        shown = _name_images(body)
        with self._keeps:
            self.bodies.append(body)
            who = json.dumps(shown)
            first_time = self._seen[who] == 0
            self._seen[who] += 1
        words = self.scene.reply(len(shown), first_time)
        choice = {"index": 0, "message": {"content": words}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 100 + HIGH_TOKENS_MAX * len(shown), "completion_tokens": 10}
        return Answer(body={"id": "chat-1", "choices": [choice], "usage": usage})


def _name_images(body: dict[str, Any]) -> list[str]:
    names = []
    for message in body["messages"]:
        parts = message["content"] if isinstance(message["content"], list) else []
        for part in parts:
            if part["type"] == "image_url":
                part["image_url"]["url"] = _named(part["image_url"]["url"])
                names.append(part["image_url"]["url"])
    return names


def _named(url: str) -> str:
    if url.startswith("stepfile://"):
        return url.replace("stepfile://file-", "sha256:")
    return "sha256:" + hashlib.sha256(base64.b64decode(url.split(",", 1)[1])).hexdigest()


@pytest.fixture
def play(
    open_account: Callable[..., Account], make_images: Callable[..., Path]
) -> Callable[[Scene], list[dict[str, Any]]]:
    def run(scene: Scene) -> list[dict[str, Any]]:
        with Recorder(scene) as endpoint:
            settings = {"images_per_request": 3, "endpoint_name": "recorded", **scene.settings}
            account = open_account(base_url=endpoint.url, **settings)
            job = account.submit(make_images(scene.images), **scene.spec)
            account.ended(job)
            if scene.then_ask:
                account.ended(followups.ask(account.services, job, scene.then_ask).job_id)
            account.stop()
            return _paired(_keys(account), endpoint.bodies)

    return run


def _keys(account: Account) -> list[str]:
    with account.services.database.read() as connection:
        return [row.key for row in connection.execute(text("SELECT key FROM calls ORDER BY key"))]


def _paired(keys: list[str], bodies: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each sent body and its key in the ledger."""
    found = {_key(body): body for body in bodies}
    assert sorted(found) == keys, "a key is not the hash of the body that was sent"
    return [{"key": key, "body": found[key]} for key in keys]


def _key(body: dict[str, Any]) -> str:
    canonical = json.dumps(
        ["recorded", body], ensure_ascii=False, separators=(",", ":"), sort_keys=True
    )
    return hashlib.sha256(canonical.encode()).hexdigest()


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize("name", SCENES)
def test_requests_and_keys_match_the_recording(name, play):
    sent = play(SCENES[name])
    recorded = json.loads(RECORDING.read_text()) if RECORDING.exists() else {}
    if os.environ.get("RECORD_REQUESTS"):
        recorded[name] = sent
        RECORDING.write_text(json.dumps(recorded, indent=1, ensure_ascii=False) + "\n")
    assert sent == recorded[name]
