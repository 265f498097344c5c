"""The API process is killed in the middle of what it does, and nothing is lost."""

from __future__ import annotations

import hashlib
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest

from overstory.local.stack import served_by
from tests.support.api import events_of
from tests.support.waiting import command_line, eventually
from workers.endpoints import read_stack

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]


def overstory(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "overstory", *words], capture_output=True, text=True
    )


@pytest.fixture
def service(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[psutil.Process]:
    """A service with its API, whose sandbox takes three seconds for a call."""
    monkeypatch.setenv("OVERSTORY_SANDBOX", "true")
    monkeypatch.setenv("OVERSTORY_INPUT_ROOTS", str(tmp_path))
    done = overstory("up", "--detach", "--no-flower", "--api-port", "0")
    assert done.returncode == 0, done.stderr
    pid = served_by(home)
    assert pid is not None
    try:
        yield psutil.Process(pid)
    finally:
        overstory("down", "--now")


@pytest.fixture
def web(service: psutil.Process, home: Path) -> Iterator[httpx2.Client]:
    stack = read_stack(home)
    assert stack is not None
    assert stack.api_url is not None
    assert stack.sandbox_url is not None
    slow = {"latency_seconds": 3.0}
    httpx2.post(stack.sandbox_url.replace("/v1", "/_sandbox/config"), json=slow).raise_for_status()
    with httpx2.Client(base_url=stack.api_url, timeout=30) as client:
        yield client


def kill_api(service: psutil.Process, web: httpx2.Client) -> None:
    """SIGKILL, as when memory is short; the supervisor starts it again on the same port."""
    first = next(p for p in service.children() if "serve" in command_line(p))
    first.kill()
    first.wait(10)
    eventually(lambda: _answers(web), 60.0)


def _answers(web: httpx2.Client) -> bool:
    try:
        return web.get("/api/health").is_success
    except httpx2.TransportError:
        return False


def watched(web: httpx2.Client, job: str, after: int, most: int | None = None) -> list[Any]:
    """The events after one of them, until the stream ends or there are ``most``."""
    text = ""
    with web.stream(
        "GET", f"/api/jobs/{job}/events", headers={"Last-Event-ID": str(after)}
    ) as reply:
        for piece in reply.iter_text():
            text += piece
            if most is not None and text.count("\n\n") > most:
                break
    return events_of(text.rpartition("\n\n")[0])


def test_a_killed_api_loses_no_job_and_no_event(
    service: psutil.Process, web: httpx2.Client, make_images: Callable[..., Path]
) -> None:
    spec = {"images": [str(make_images(130))], "ask": "What is there?"}
    key = {"Idempotency-Key": "the-same"}
    made = web.post("/api/jobs", json=spec, headers=key)
    assert made.status_code == 201, made.text
    job = made.json()["job"]
    seen = watched(web, job, 0, most=20)
    assert all(number is not None for number, _, _ in seen), "the job has ended too soon"
    kill_api(service, web)
    again = web.post("/api/jobs", json=spec, headers=key)
    assert (again.status_code, again.json()["job"]) == (200, job)
    seen += watched(web, job, seen[-1][0])
    assert seen == watched(web, job, 0)
    assert seen[-1] == (None, "end", {})
    shown = web.get(f"/api/jobs/{job}").json()
    assert (shown["status"], shown["coverage"]["included"]) == ("completed", 130)
    assert [name for _, name, _ in seen].count("image.included") == 130


def test_an_upload_that_a_killed_api_cut_is_sent_again(
    service: psutil.Process, web: httpx2.Client, make_images: Callable[..., Path], home: Path
) -> None:
    file = next(make_images(1).iterdir())
    data = file.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    ask = {"files": [{"sha256": digest, "bytes": len(data), "name": file.name}]}
    address = (web.base_url.host, web.base_url.port)
    with socket.create_connection(address) as cut:
        head = f"PUT /api/uploads/{digest} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        cut.sendall(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data[: len(data) // 2])
        eventually(lambda: any((home / "uploads").rglob("*/*")), 30.0)
        kill_api(service, web)
    (missing,) = web.post("/api/uploads", json=ask).json()["files"]
    assert missing["present"] is False
    assert web.put(missing["put"]["url"], content=data).status_code == 201
    (there,) = web.post("/api/uploads", json=ask).json()["files"]
    assert there["present"] is True
    made = web.post("/api/jobs", json={"images": [there["input"]], "ask": "What is there?"})
    job = made.json()["job"]
    eventually(lambda: web.get(f"/api/jobs/{job}").json()["status"] == "completed", 60.0)
    (image,) = web.get(f"/api/jobs/{job}/images").json()
    assert image["name"] == file.name
