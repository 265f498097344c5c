"""Chat completions over HTTP: their jobs, their waits and their refusals."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import event
from starlette.testclient import TestClient

from core.errors import ServiceAway
from models import state
from models.state import Moved
from overstory.api import health
from overstory.api.app import make_api
from overstory.api.chat import routes, waiting
from overstory.api.chat.models import Models
from overstory.api.chat.waiting import Waiting
from tests.support.account import Account, on_one_database
from tests.support.jobs import submit
from tests.support.pictures import draw_image

pytestmark = on_one_database
BASE = "http://127.0.0.1:8700"
PATH = "/v1/chat/completions"


@pytest.fixture
def account(open_account: Callable[..., Account]) -> Account:
    return open_account()


@pytest.fixture
def idle(open_account: Callable[..., Account], monkeypatch: pytest.MonkeyPatch) -> Account:
    """An account where nobody works, and no answer is waited for before the status is sent."""
    monkeypatch.setattr(routes, "FIRST_SECONDS", 0.01)
    monkeypatch.setattr(health, "nobody_works", lambda settings: "")
    return open_account(start=False)


def client_of(account: Account) -> TestClient:
    return TestClient(make_api(account.services), BASE, client=("127.0.0.1", 4711))


@pytest.fixture
def client(account: Account) -> Iterator[TestClient]:
    with client_of(account) as client:
        yield client


@pytest.fixture
def urls(tmp_path: Any) -> list[str]:
    """Data URLs of eight pictures."""
    return [data_url(draw_image(tmp_path / f"{n}.jpg", n).read_bytes()) for n in range(8)]


def data_url(data: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"


def asking(urls: list[str], question: str = "What is there?", **more: Any) -> dict[str, Any]:
    parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    text = {"type": "text", "text": question}
    messages = [{"role": "user", "content": [*parts, text]}]
    return {"model": "step-3.7-flash", "messages": messages, **more}


def error_of(answer: Any) -> dict[str, Any]:
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return dict(error)


def cancel(account: Account, job: str) -> None:
    with account.services.database.write() as connection:
        state.job_cancelled(connection, job, Moved())


def test_a_request_is_a_job_and_the_same_request_is_the_same_job(
    account: Account, client: TestClient, urls: list[str]
) -> None:
    broken = data_url(b"no picture at all")
    first = client.post(PATH, json=asking([*urls, urls[0], broken]))
    assert first.status_code == 200, first.text
    whole = first.json()
    choice = whole["choices"][0]
    assert (choice["finish_reason"], choice["message"]["role"]) == ("stop", "assistant")
    ours = whole["overstory"]
    assert ours["job"] == first.headers["Overstory-Job"] == whole["id"].removeprefix("chatcmpl-")
    assert ours["coverage"] == {
        "submitted": 10, "included": 8, "failed": 1, "duplicate": 1, "skipped": 0,
    }  # fmt: skip
    assert (ours["status"], ours["created"]) == ("partial", True)
    assert [(f["position"], f["error_code"]) for f in ours["failed"]] == [(10, "not_an_image")]
    assert whole["usage"]["total_tokens"] > whole["usage"]["completion_tokens"] > 0
    assert account.job(ours["job"]).answer == choice["message"]["content"]
    again = client.post(PATH, json=asking([*urls, urls[0], broken], temperature=0.5)).json()
    assert again["overstory"].pop("created") is False
    ours.pop("created")
    assert again == whole


def test_a_stream_has_the_progress_the_answer_and_the_usage(
    client: TestClient, urls: list[str]
) -> None:
    request = asking(urls, stream=True, stream_options={"include_usage": True})
    answer = client.post(PATH, json=request)
    assert answer.headers["content-type"].startswith("text/event-stream")
    lines = [line for line in answer.text.split("\n") if line]
    comments = [line for line in lines if line.startswith(":")]
    assert comments[0] == f": job {answer.headers['Overstory-Job']}"
    assert all(line.endswith("of 8 images seen") for line in comments[1:])
    assert lines[-1] == "data: [DONE]"
    chunks = [json.loads(line[6:]) for line in lines[len(comments) : -1]]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks[:-1]]
    assert deltas[0] == {"role": "assistant", "content": ""}
    same = client.post(PATH, json=asking(urls)).json()
    text = same["choices"][0]["message"]["content"]
    assert "".join(delta.get("content", "") for delta in deltas) == text
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks[:-1]][-1] == "stop"
    assert (chunks[-1]["choices"], chunks[-1]["usage"]) == ([], same["usage"])
    assert all(chunk["usage"] is None for chunk in chunks[:-1])


def test_a_schema_and_answers_about_each_image(client: TestClient, urls: list[str]) -> None:
    schema = {"type": "object", "properties": {"b": {"type": "integer"}, "a": {"type": "integer"}}}
    shape = {"type": "json_schema", "json_schema": {"name": "sums", "schema": schema}}
    whole = client.post(PATH, json=asking(urls, response_format=shape)).json()
    assert list(json.loads(whole["choices"][0]["message"]["content"])) == ["b", "a"]
    each = {"overstory": {"each": "Which colour is it?"}}
    ours = client.post(PATH, json=asking(urls[:2], **each)).json()["overstory"]
    assert [image["position"] for image in ours["images"]] == [1, 2]
    assert all(image["answer"] for image in ours["images"])


def test_a_job_without_an_answer_is_an_error_that_says_what_to_do(
    account: Account, client: TestClient
) -> None:
    request = asking([data_url(b"nothing"), data_url(b"nothing else")])
    failed = client.post(PATH, json=request)
    assert (failed.status_code, error_of(failed)["code"]) == (424, "job_failed")
    job = failed.headers["Overstory-Job"]
    assert f"overstory retry {job}" in error_of(failed)["message"]
    streamed = client.post(PATH, json=request | {"stream": True})
    assert streamed.status_code == 424
    again = client.post(PATH, json=request | {"overstory": {"retry": True}})
    assert again.headers["Overstory-Job"] == job
    with account.services.database.read() as connection:
        names = connection.exec_driver_sql(f"SELECT name FROM events WHERE job_id = '{job}'")
        assert [name for (name,) in names].count("job.failed") == 2


def test_a_budget_that_is_too_small_and_one_that_is_not(
    client: TestClient, urls: list[str]
) -> None:
    short = client.post(PATH, json=asking(urls, overstory={"budget": 0.000001}))
    assert short.status_code == 402
    error = error_of(short)
    assert (error["code"], error["param"]) == ("budget_exceeded", "overstory.budget")
    assert '"budget"' in error["message"]
    enough = client.post(PATH, json=asking(urls, overstory={"budget": 1.0}))
    assert enough.status_code == 200, enough.text
    assert enough.json()["overstory"]["job"] == short.headers["Overstory-Job"]


def test_a_late_end_without_an_answer_cuts_the_body(
    idle: Account, urls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The status was sent: the body says why, and its missing end makes clients raise."""
    sent: list[Any] = []
    app = make_api(idle.services)

    async def exchange() -> None:
        body = [json.dumps(asking(urls[:1])).encode()]

        async def receive() -> Any:
            if not body:
                await asyncio.Event().wait()  # the client stays
            return {"type": "http.request", "body": body.pop(), "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)
            if len(sent) == 2:  # the status and the first white space
                job = dict(sent[0]["headers"])[b"overstory-job"].decode()
                await asyncio.to_thread(cancel, idle, job)

        headers = [(b"host", b"127.0.0.1:8700"), (b"content-length", b"%d" % len(body[0]))]
        scope = {
            "type": "http", "asgi": {"spec_version": "2.3"}, "http_version": "1.1",
            "method": "POST", "path": PATH, "raw_path": PATH.encode(), "query_string": b"",
            "root_path": "", "scheme": "http", "headers": headers, "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 8700),
        }  # fmt: skip
        await app(scope, receive, send)

    asyncio.run(exchange())
    assert sent[0]["status"] == 200
    assert sent[-1]["more_body"] is True
    text = b"".join(message["body"] for message in sent[1:]).decode()
    assert text.startswith("\n")
    assert json.loads(text)["error"]["code"] == "job_cancelled"
    with client_of(idle) as client:
        again = client.post(PATH, json=asking(urls[:1]))
    assert (again.status_code, again.headers["x-should-retry"]) == (409, "false")


def test_without_workers_a_request_is_told_so(
    idle: Account, urls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "nobody_works", lambda settings: "waits for workers: none")
    with client_of(idle) as client:
        answer = client.post(PATH, json=asking(urls[:1]))
    assert answer.status_code == 503
    assert "waits for workers" in error_of(answer)["message"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", "/v1/embeddings", {}, 404, "not_found"),
        ("GET", PATH, None, 405, None),
        ("POST", PATH, {"model": "nope"}, 400, None),
        ("GET", "/v1/models/no/such", None, 404, "model_not_found"),
    ],
)
def test_every_refusal_has_openais_shape(
    idle: Account, method: str, path: str, body: Any, status: int, code: str | None
) -> None:
    with client_of(idle) as client:
        answer = client.request(method, path, json=body)
        foreign = client.request(method, path, json=body, headers={"Origin": "http://evil.test"})
    assert (answer.status_code, error_of(answer)["code"]) == (status, code)
    assert (foreign.status_code, error_of(foreign)["type"]) == (403, "invalid_request_error")


def test_bodies_that_are_packed_or_too_large_are_refused_at_once(idle: Account) -> None:
    with client_of(idle) as client:
        packed = client.post(PATH, content=b"{}", headers={"Content-Encoding": "gzip"})
        huge = client.post(PATH, content=b"{}", headers={"Content-Length": "2000000000"})
    assert packed.status_code == 415
    assert (huge.status_code, error_of(huge)["code"]) == (413, "request_too_large")


def test_the_models_are_the_services_own_and_its_endpoints(idle: Account, urls: list[str]) -> None:
    own = idle.services.settings.model
    with client_of(idle) as client:
        listed = [card["id"] for card in client.get("/v1/models").json()["data"]]
        assert listed[0] == own
        assert set(listed) == {own, *idle.services.provider.models()}
        assert client.get(f"/v1/models/{listed[-1]}").json()["id"] == listed[-1]
        wrong = client.post(PATH, json=asking(urls, model="gpt-none"))
    assert (wrong.status_code, error_of(wrong)["param"]) == (404, "model")


def test_an_endpoint_that_lists_no_models_is_asked_by_the_job(idle: Account) -> None:
    asked: list[int] = []

    def away() -> list[str]:
        asked.append(1)
        raise ServiceAway

    models = Models(idle.services.settings, away)

    async def look() -> list[str]:
        await models.check("anything")
        await models.check("another")
        return await models.names()

    assert asyncio.run(look()) == [idle.services.settings.model]
    assert len(asked) == 1


def test_one_reader_asks_for_all_that_wait(idle: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    database = idle.services.database
    monkeypatch.setattr(waiting, "POLL_SECONDS", 0.05)
    jobs = [submit(database, [1]) for _ in range(20)]
    statements: list[str] = []
    event.listen(
        database.engine, "before_cursor_execute", lambda *given: statements.append(given[2])
    )

    async def wait() -> list[Any]:
        found = Waiting(database, lambda: "")
        tasks = [asyncio.create_task(found.end(job)) for job in jobs for _ in range(3)]
        reads = len(statements)
        while len(statements) < reads + 6:
            await asyncio.sleep(0.01)
        for job in jobs:
            await asyncio.to_thread(cancel, idle, job)
        ended = await asyncio.gather(*tasks)
        assert not found._jobs
        return ended

    ended = asyncio.run(wait())
    assert {standing.status for standing in ended} == {"cancelled"}
    asked = [text.count("?") for text in statements if "FROM jobs" in text and " IN (" in text]
    assert max(asked) == len(jobs)


def test_a_turn_that_does_not_come_is_told_to_come_again(
    idle: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "TURN_SECONDS", 0.01)
    monkeypatch.setattr(routes, "BODIES_AT_ONCE", 0)
    with client_of(idle) as client:
        large = client.post(PATH, content=iter([b"{}"]))
        small = client.post(PATH, content=b"{}")
    assert (large.status_code, large.headers["Retry-After"]) == (429, "5")
    assert error_of(large)["code"] == "rate_limit_exceeded"
    assert small.status_code == 400
