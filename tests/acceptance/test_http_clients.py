"""A program with overstory-client and an agent with ``overstory mcp`` use one real service."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
from mcp import Client as Agent
from mcp import StdioServerParameters

from core.settings import load
from overstory.local.stack import served_by
from overstory_client import Client, OverstoryError, Retries, ServiceAway
from tests.support.command import Person
from workers.endpoints import read_stack

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]
IMAGES = 12


@pytest.fixture
def service(stranger: Person, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a service that only the sandbox answers."""
    monkeypatch.setenv("OVERSTORY_SANDBOX", "true")
    up = stranger.say("up", "--detach", "--api-port", "0", "--flower-port", "0")
    assert up.status == 0, up.err
    try:
        stack = read_stack(stranger.home)
        assert stack is not None
        assert stack.api_url is not None
        yield stack.api_url
    finally:
        stranger.say("down", "--now")
        assert served_by(load().home) is None


class CutStream(httpx2.SyncByteStream):
    """The first piece of a reply, then a cut."""

    def __init__(self, stream: Iterator[bytes]) -> None:
        self.stream = stream

    def __iter__(self) -> Iterator[bytes]:
        yield next(iter(self.stream))
        raise httpx2.ReadError("cut")


class CuttingNetwork(httpx2.HTTPTransport):
    """Cuts one upload in the middle, loses the reply to one submission, and cuts streams twice."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Counter[str] = Counter()

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        kind = f"{request.method} {request.url.path.rpartition('/')[2]}"
        kind = "PUT" if request.method == "PUT" else kind
        self.seen[kind] += 1
        number = self.seen[kind]
        if (kind, number) == ("PUT", 3):
            self.send_half(request)
            raise httpx2.WriteError("cut")
        response = super().handle_request(request)
        if (kind, number) == ("POST jobs", 1):
            response.read()
            raise httpx2.ReadError("cut")
        if kind == "GET events" and number < 3:
            response.stream = CutStream(response.stream)
        return response

    def send_half(self, request: httpx2.Request) -> None:
        body = b"".join(request.stream)
        head = f"PUT {request.url.path} HTTP/1.1\r\nHost: {request.url.netloc.decode()}\r\n"
        head += f"Content-Length: {len(body)}\r\n\r\n"
        with socket.create_connection((request.url.host, request.url.port)) as connection:
            connection.sendall(head.encode() + body[: len(body) // 2])


def test_a_program_and_an_agent_use_one_service(
    service: str, stranger: Person, make_images: Callable[..., Path]
) -> None:
    folder = make_images(IMAGES)
    job = asks_over_a_bad_network(service, folder)
    text = asyncio.run(agent_asks(stranger, folder, job))
    assert f"{IMAGES} included" in text
    assert "IMAGES BEHIND [n]:" in text


def asks_over_a_bad_network(service: str, folder: Path) -> str:
    network = CuttingNetwork()
    http = httpx2.Client(transport=network)
    impatient = Client(service, http=http, retries=Retries(attempts=1))
    with impatient, pytest.raises(ServiceAway):
        impatient.submit([folder], ask="Which colours?", key="bad-network")
    arrived = network.seen["PUT"] - 1
    http = httpx2.Client(transport=network)
    with Client(service, http=http, retries=Retries(first=0.01)) as client:
        job = client.submit([folder], ask="Which colours?", key="bad-network")
        assert not job.created  # the reply to the first submission was lost
        assert network.seen["PUT"] <= 2 * IMAGES - arrived + 1
        events = list(client.events(job))
        assert network.seen["GET events"] == 3
        ids = [event.id for event in events]
        assert ids == sorted(set(ids))
        names = Counter(event.name for event in events)
        assert (names["image.included"], names["job.completed"]) == (IMAGES, 1)
        result = client.result(job)
        assert result.coverage["included"] == IMAGES
        assert result.answer
        assert b"</html>" in client.report(job)
        with pytest.raises(OverstoryError) as refused:
            client.retry("nothing")
        assert refused.value.status == 404
    return job.job


async def agent_asks(person: Person, folder: Path, job: str) -> str:
    """The same question about the same files, which are named by their path this time."""
    program = str(Path(sys.executable).with_name("overstory"))
    host = StdioServerParameters(
        command=program, args=["mcp"], env=dict(person.environment), cwd=os.fspath(folder)
    )
    async with Agent(host) as agent:
        price = await agent.call_tool("estimate", {"images": ["."], "ask": "Which colours?"})
        assert f"{IMAGES} images" in price.content[0].text
        told: list[float] = []

        async def progress(done: float, total: float | None, message: str | None) -> None:
            told.append(done)
            assert (total, message) == (IMAGES, f"{done:g} of {IMAGES} images")

        done = await agent.call_tool(
            "ask_about_images",
            {"images": [str(folder)], "ask": "Which colours?", "wait_seconds": 60},
            progress_callback=progress,
        )
        assert not done.is_error
        assert told
        pictures = await agent.call_tool("answer", {"job": job, "images": [2], "pictures": True})
        assert [part.type for part in pictures.content] == ["text", "image"]
        listed = await agent.call_tool("status", {})
        assert job in listed.content[0].text
        return str(done.content[0].text)
