"""The clients of OpenAI's endpoint that programs have: its SDKs and LangChain. One service for all.

AsyncOpenAI's and LangChain's own retries, time limits and parsers are at work, over real sockets.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from langchain_core.messages import HumanMessage
from langchain_openai import ChatOpenAI
from PIL import Image
from pydantic import BaseModel

from core.access import PREFIX
from overstory.sandbox.config import SandboxConfig
from overstory.sandbox.process import SandboxProcess
from tests.support.command import Person
from tests.support.ports import free_port
from tests.support.waiting import eventually

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]
MODEL = "step-3.7-flash"
NPM = Path(__file__).with_name("npm")
BUILD = Path(__file__).parents[2] / "build" / "npm"


class Colours(BaseModel):
    count: int
    colours: list[str]


@dataclass
class Door:
    """The HTTP service of one state folder, in a process that may be killed."""

    person: Person
    sandbox: SandboxProcess
    port: int
    process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def open(self) -> None:
        self.process = self.person.begin("serve", "--port", self.port)
        assert self.process.stdout is not None
        said = self.process.stdout.readline()
        assert re.search(rf":{self.port}\b", said), said

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def jobs(self) -> list[dict[str, Any]]:
        answer = httpx2.get(self.url.replace("/v1", "/api/jobs"))
        return list(answer.raise_for_status().json())


@pytest.fixture(scope="module")
def door(_sandbox: SandboxProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    folder = tmp_path_factory.mktemp("sdks")
    _sandbox.configure(**SandboxConfig().model_dump(mode="json"))
    _sandbox.reset()
    person = Person(
        folder / "home",
        folder,
        OVERSTORY_API_KEY="key-of-sdks",
        OVERSTORY_BASE_URL=_sandbox.base_url,
        OVERSTORY_TIER="V0",
    )
    up = person.say("up", "--detach", "--no-flower")
    assert up.status == 0, up.err
    door = Door(person, _sandbox, free_port())
    door.open()
    try:
        yield door
    finally:
        person.say("down", "--now")
        person.clean_up()


@pytest.fixture
def client(door: Door) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=door.url, api_key="any") as client:
        yield client


def data_url(number: int) -> str:
    data = io.BytesIO()
    colour = (number * 37 % 256, number * 91 % 256, number * 13 % 256)
    Image.new("RGB", (40 + number % 40, 30), colour).save(data, "PNG")
    return f"data:image/png;base64,{base64.b64encode(data.getvalue()).decode()}"


def request(images: int, question: str, **more: Any) -> dict[str, Any]:
    parts = [{"type": "image_url", "image_url": {"url": data_url(n)}} for n in range(images)]
    content = [*parts, {"type": "text", "text": question}]
    return {"model": MODEL, "messages": [{"role": "user", "content": content}], **more}


def test_one_changed_line_mends_too_many_images(door: Door, client: openai.OpenAI) -> None:
    asked = request(70, "Which colours are there?")
    before = openai.OpenAI(base_url=door.sandbox.base_url, api_key="key-of-sdks")
    with before, pytest.raises(openai.BadRequestError, match="images"):
        before.chat.completions.create(**asked)
    whole = client.chat.completions.create(**asked)
    assert "70 images" in (whole.choices[0].message.content or "")
    assert whole.usage is not None
    assert whole.usage.total_tokens > 70 * 100
    ours = whole.model_dump()["overstory"]
    assert ours["coverage"]["included"] == 70
    again = client.chat.completions.create(**asked).model_dump()
    assert (again["overstory"]["job"], again["overstory"]["created"]) == (ours["job"], False)
    parsed = client.chat.completions.parse(**request(3, "Count them."), response_format=Colours)
    shape = parsed.choices[0].message.parsed
    assert shape is not None
    assert (shape.count, len(shape.colours)) == (3, 3)


def test_models_and_errors_have_the_sdks_own_classes(client: openai.OpenAI) -> None:
    assert client.models.list().data[0].id == MODEL
    assert client.models.retrieve(MODEL).id == MODEL
    with pytest.raises(openai.NotFoundError) as unknown:
        client.chat.completions.create(**request(1, "What?") | {"model": "none"})
    assert (unknown.value.code, unknown.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.BadRequestError) as two:
        client.chat.completions.create(**request(1, "What?", n=2))
    assert two.value.param == "n"
    broken = request(2, "What?")
    broken["messages"][0]["content"][1]["image_url"]["url"] = "data:image/png;base64,%"
    with pytest.raises(openai.BadRequestError) as part:
        client.chat.completions.create(**broken)
    assert part.value.param == "messages[0].content[1]"
    with pytest.raises(openai.NotFoundError):
        client.embeddings.create(model=MODEL, input="text")


def test_the_async_sdk_streams_the_same_answer(door: Door) -> None:
    async def ask() -> tuple[str, Any, Any]:
        async with openai.AsyncOpenAI(base_url=door.url, api_key="any") as client:
            text, usage = "", None
            stream = await client.chat.completions.create(
                **request(5, "Stream it."), stream=True, stream_options={"include_usage": True}
            )
            async for chunk in stream:
                text += (chunk.choices and chunk.choices[0].delta.content) or ""
                usage = chunk.usage or usage
            return text, usage, await client.chat.completions.create(**request(5, "Stream it."))

    text, usage, whole = asyncio.run(ask())
    assert text == whole.choices[0].message.content
    assert usage == whole.usage


def test_langchain_asks_streams_and_parses(door: Door) -> None:
    model = ChatOpenAI(base_url=door.url, api_key="any", model=MODEL, temperature=0, max_tokens=500)
    message = HumanMessage(request(4, "What is there?")["messages"][0]["content"])
    whole = model.invoke([("system", "Be brief."), message])
    assert "4 images" in str(whole.content)
    assert whole.usage_metadata
    pieces = [str(piece.content) for piece in model.stream([("system", "Be brief."), message])]
    assert "".join(pieces) == whole.content
    shape = model.with_structured_output(Colours).invoke([message])
    assert isinstance(shape, Colours)
    assert (shape.count, len(shape.colours)) == (4, 4)
    with pytest.raises(openai.BadRequestError, match="response_format"):
        model.bind_tools([Colours]).invoke([message])


def test_a_killed_service_loses_nothing_and_the_sdk_goes_on(
    door: Door, client: openai.OpenAI
) -> None:
    """Killed in the middle of a body, of a stream and of a wait: the SDK sends it again."""
    door.sandbox.configure(latency_seconds=6.0)
    question = "Who was killed?"
    asked = request(6, question)
    patient = client.with_options(max_retries=10)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lambda: patient.chat.completions.create(**asked))
        eventually(lambda: any(job["ask"] == question for job in door.jobs()))
        stream = client.chat.completions.create(**asked, stream=True)
        half = json.dumps(asked).encode()
        head = "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: "
        with socket.create_connection(("127.0.0.1", door.port)) as cut:
            cut.sendall(f"{head}{len(half)}\r\n\r\n".encode() + half[: len(half) // 2])
            door.kill()
        with pytest.raises(openai.APIConnectionError):
            list(stream)
        door.open()
        whole = waiting.result()
    job = whole.model_dump()["overstory"]
    assert (job["status"], job["requests"]) == ("completed", 1)
    assert [each["ask"] for each in door.jobs()].count(question) == 1
    assert client.chat.completions.create(**asked).usage == whole.usage
    door.sandbox.configure(latency_seconds=0.0)


@pytest.mark.skipif(not shutil.which("npm"), reason="npm is not on this machine")
def test_the_npm_sdk_asks_and_streams(door: Door) -> None:
    BUILD.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json", "client.mjs"):
        shutil.copy(NPM / name, BUILD)
    installed = subprocess.run(
        ["npm", "ci", "--no-audit", "--no-fund"], cwd=BUILD, capture_output=True, text=True
    )
    assert installed.returncode == 0, installed.stderr
    given = json.dumps({"url": door.url, "request": request(4, "What is in JavaScript?")})
    ran = subprocess.run(
        ["node", "client.mjs"], cwd=BUILD, input=given, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    got = json.loads(ran.stdout)
    assert got["models"][0] == MODEL
    assert got["streamed"] == got["whole"]["choices"][0]["message"]["content"]
    assert got["usage"] == got["whole"]["usage"]
    assert got["errors"] == {"model": ["NotFoundError", "model"], "n": ["BadRequestError", "n"]}


def test_a_wrong_token_is_an_authentication_error(door: Door) -> None:
    wrong = openai.OpenAI(base_url=door.url, api_key=f"{PREFIX}wrong")
    with wrong, pytest.raises(openai.AuthenticationError) as error:
        wrong.models.list()
    assert error.value.code == "invalid_api_key"
