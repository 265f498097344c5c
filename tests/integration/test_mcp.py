"""MCP as agents speak to it: the SDK's own client, over HTTP into the app of the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from sqlalchemy import and_, update

from core.errors import WrongUsage
from core.settings import load
from models.engine import Database
from models.tables import Image, Job
from overstory.api.app import make_api
from overstory.api.caller import Caller
from overstory.api.estimates import Estimates
from overstory.api.mcp import command
from overstory.api.mcp import http as module
from overstory.api.mcp.agents import OwnAgent
from overstory.api.mcp.home import OwnAgents
from overstory.api.mcp.http import McpEndpoint
from overstory.api.mcp.server import make_server
from overstory.api.submissions import Submissions
from tests.support import jobs
from tests.support.account import make_services

BASE = "http://127.0.0.1:8700"
TOOLS = {"estimate", "ask_about_images", "status", "answer"}
Agent = Callable[..., Awaitable[tuple[str, bool]]]


@asynccontextmanager
async def served() -> AsyncIterator[httpx2.ASGITransport]:
    """The API over the settings of the test."""
    services = make_services(load())
    app = make_api(services)
    try:
        async with app.router.lifespan_context(app):
            yield httpx2.ASGITransport(app=app, client=("127.0.0.1", 4711))
    finally:
        services.close()


@asynccontextmanager
async def agent() -> AsyncIterator[tuple[Client, Agent]]:
    """An agent at /mcp, and ``call(tool, **arguments)``: the text, and whether it is an error."""
    async with (
        served() as transport,
        httpx2.AsyncClient(transport=transport) as http,
        Client(streamable_http_client(f"{BASE}/mcp", http_client=http)) as client,
    ):
        yield client, calls_of(client)


def calls_of(client: Client) -> Agent:
    async def call(tool: str, **arguments: Any) -> tuple[str, bool]:
        done = await client.call_tool(tool, arguments)
        assert done.structured_content is None  # it would double what the agent reads
        texts = [part.text for part in done.content if part.type == "text"]
        return "".join(texts), bool(done.is_error)

    return call


@pytest.fixture
def photos(make_images: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = make_images(3)
    monkeypatch.setenv("OVERSTORY_INPUT_ROOTS", str(folder))
    return folder


def job_in(text: str) -> str:
    return text.partition("job ")[2].split()[0]


def test_an_agent_asks_about_a_folder_and_reads_the_answer(own: Database, photos: Path) -> None:
    async def use() -> None:
        async with agent() as (client, call):
            listed = (await client.list_tools()).tools
            assert {tool.name for tool in listed} == TOOLS
            assert all(not tool.output_schema for tool in listed)
            price, wrong = await call("estimate", images=[str(photos)], ask="What?")
            assert not wrong
            assert "3 images: 3 usable" in price
            begun, wrong = await call(
                "ask_about_images", images=[str(photos)], ask="What?", wait_seconds=0
            )
            job = job_in(begun)
            assert not wrong
            assert f"job {job} running: 0 of 3 images done" in begun
            assert "overstory up" in begun  # nobody works on it
            answer(own, job)
            done, _ = await call("status", job=job, wait_seconds=1)
            assert "ANSWER:" in done
            assert f"job {job} completed: 3 images: 3 included" in done
            report = await client.read_resource(f"overstory://jobs/{job}/report")
            assert (report.contents[0].mime_type, job in report.contents[0].text) == (
                "text/html",
                True,
            )

    asyncio.run(use())


def answer(database: Database, job: str) -> None:
    jobs.finish_all(database, jobs.upload_all(database, job))


def test_evidence_is_of_the_cited_images_or_of_those_that_are_named(own: Database) -> None:
    job = jobs.submit(own, [3], duplicates=1)
    answer(own, job)
    jobs.prove(own, job, "line", 1)
    with own.write() as connection:
        connection.execute(update(Job).where(Job.id == job).values(answer="Red [1, 4]."))

    async def use() -> None:
        async with agent() as (_, call):
            told, _ = await call("answer", job=job)
            rows = [line for line in told.splitlines() if line.startswith("[")]
            assert [row.partition(" ")[0] for row in rows] == ["[1]", "[4]"]
            assert rows[1].endswith("the same as [1]")
            told, _ = await call("answer", job=job, images=[2, 2, 9])
            assert "ANSWER" not in told
            assert "Only the positions 1 to 4" in told
            assert [line[:3] for line in told.splitlines() if line.startswith("[")] == ["[2]"]

    asyncio.run(use())


def test_a_long_answer_is_read_in_parts(own: Database) -> None:
    job = jobs.submit(own, [2])
    answer(own, job)
    whole = "".join(f"{n:07} [1]. " for n in range(2_000))
    with own.write() as connection:
        connection.execute(update(Job).where(Job.id == job).values(answer=whole))

    async def use() -> str:
        read, start = "", 1
        async with agent() as (_, call):
            while start:
                told, _ = await call("answer", job=job, start=start)
                assert len(told) < 22_000
                read += told.partition("ANSWER:\n")[2].partition("\n\nIMAGES")[0]
                start = int((told.partition(" start=")[2].split() or ["0"])[0])
        return read

    assert asyncio.run(use()) == whole


def test_answers_about_each_of_many_images_are_read_in_parts(own: Database) -> None:
    job = jobs.submit(own, [60] * 20, each="Which colour?", each_only=True)
    with own.write() as connection:
        ours = Image.job_id == job
        connection.execute(update(Image).where(ours).values(status="included", note="it is red"))
        failed = and_(ours, Image.position <= 40)
        gone = {"status": "failed", "note": None, "error": "it is cut short"}
        connection.execute(update(Image).where(failed).values(**gone))
    answered, named = [], []

    async def use() -> None:
        start = 1
        async with agent() as (_, call):
            while start:
                told, _ = await call("answer", job=job, start=start)
                assert len(told) < 22_000
                answers = told.partition("ANSWERS:")[2].splitlines()
                answered.extend(
                    int(line[1:].partition("]")[0]) for line in answers if line[:1] == "["
                )
                if start == 1:
                    named.append(told.partition("FAILED:\n")[2].count("it is cut short"))
                    named.append(told.partition("30 more images failed: answer with ")[2][:11])
                start = int((told.partition(" start=")[2].split() or ["0"])[0])

    asyncio.run(use())
    assert answered == list(range(41, 1201))
    assert named == [10, "images=[11,"]


def test_a_caller_sees_its_own_jobs_alone(own: Database) -> None:
    mine, other = jobs.submit(own), jobs.submit(own)
    with own.write() as connection:
        for job, owner in ((mine, "mia"), (other, "tom")):
            connection.execute(update(Job).where(Job.id == job).values(owner=owner))

    mia = SimpleNamespace(state=SimpleNamespace(caller=Caller("mia", False, read_only=True)))
    services = make_services(load())
    endpoint = McpEndpoint(services, Submissions(services), Estimates(services))

    async def use() -> None:
        async with Client(make_server(lambda _: endpoint._agent(mia))) as client:
            call = calls_of(client)
            listed, _ = await call("status")
            assert mine in listed
            assert other not in listed
            for tool in ("status", "answer"):
                assert (await call(tool, job=mine))[1] is False
                text, wrong = await call(tool, job=other)
                assert wrong
                assert "there is no job" in text
            with pytest.raises(MCPError, match="there is no job"):
                await client.read_resource(f"overstory://jobs/{other}/report")
            text, wrong = await call("ask_about_images", images=["https://a.example/1"], ask="?")
            assert wrong
            assert "may only read" in text

    try:
        asyncio.run(use())
    finally:
        services.close()


def test_what_is_wrong_is_told_and_what_is_forbidden_refused(own: Database, photos: Path) -> None:
    async def use() -> None:
        async with agent() as (_, call):
            for arguments, said in (
                ({"images": [str(photos)]}, "nothing is asked"),
                ({"images": ["/etc"], "ask": "?"}, "OVERSTORY_INPUT_ROOTS"),
                ({"images": [str(photos)], "ask": "?", "budget": -1}, "greater than 0"),
            ):
                text, wrong = await call("ask_about_images", **arguments)
                assert (wrong, said in text) == (True, True), text

    asyncio.run(use())


def test_a_foreign_page_is_refused_before_mcp_is_loaded(own: Database) -> None:
    async def use() -> list[int]:
        async with served() as transport, httpx2.AsyncClient(transport=transport) as http:
            headers = ({"Origin": "https://evil.example"}, {"Host": "evil.example"})
            done = [await http.post(f"{BASE}/mcp", json={}, headers=header) for header in headers]
            return [response.status_code for response in done]

    assert asyncio.run(use()) == [403, 421]


def test_without_the_extra_it_says_how_to_install_it(
    own: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in (module, command):
        monkeypatch.setattr(place, "find_spec", lambda name: None)
    with pytest.raises(WrongUsage, match=r"pip install 'overstory\[mcp\]'"):
        command.mcp.main([], standalone_mode=False)

    async def use() -> httpx2.Response:
        async with served() as transport, httpx2.AsyncClient(transport=transport) as http:
            return await http.post(f"{BASE}/mcp", json={})

    response = asyncio.run(use())
    assert (response.status_code, response.headers["Content-Type"]) == (
        501,
        "application/problem+json",
    )
    assert "pip install 'overstory[mcp]'" in response.json()["detail"]


# --- over stdio: the agent of the person


def test_without_a_service_each_call_says_so(
    home: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OVERSTORY_SANDBOX", "true")

    async def use() -> tuple[str, bool]:
        async with Client(make_server(OwnAgents(load()).agent)) as client:
            assert {tool.name for tool in (await client.list_tools()).tools} == TOOLS
            return await calls_of(client)("estimate", images=[str(photos)], ask="What?")

    text, wrong = asyncio.run(use())
    assert wrong
    assert "overstory up" in text


def test_a_person_names_any_file_and_agrees_to_what_is_dear(
    own: Database, make_images: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same question about the same files is the same job; with a budget it is started."""
    folder = make_images(3, "private")
    monkeypatch.setenv("OVERSTORY_API_KEY", "sk-test")
    monkeypatch.setenv("OVERSTORY_CONFIRM_ABOVE", "0.0000001")
    services = make_services(load())
    agent = OwnAgent(services)

    async def get(_: object) -> OwnAgent:
        return agent

    async def use() -> None:
        async with Client(make_server(get)) as client:
            call = calls_of(client)
            question = {"images": [str(folder)], "ask": "What?", "wait_seconds": 0}
            text, wrong = await call("ask_about_images", **question)
            assert wrong
            assert "Nothing was sent" in text
            (held,) = agent.jobs()
            assert held.status == "paused"
            text, wrong = await call("ask_about_images", **question, budget=2)
            assert not wrong
            assert f"job {held.id} running" in text
            assert len(agent.jobs()) == 1

    try:
        asyncio.run(use())
    finally:
        services.close()
