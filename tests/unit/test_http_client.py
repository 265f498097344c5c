"""overstory-client against a service of the test: no socket, no waiting."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator
from email.parser import HeaderParser
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydantic import BaseModel, ValidationError

import overstory_client
from core.images.formats import IMAGE_ENDINGS
from overstory_client import AsyncClient, Client, Retries, ServerPath, files
from tests.support.compose import ROOT

URL = "http://service.example"
EVENT = 'id: {0}\nevent: image.included\ndata: {{"at": 1.5, "name": "image.included"}}\n\n'
END = "event: end\ndata: {}\n\n"
JOB = {"job": "j1", "status": "running", "created": True}
Handler = Callable[[httpx2.Request], httpx2.Response]


class Cut(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """A body that is cut after some text."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __iter__(self) -> Iterator[bytes]:
        yield self.text.encode()
        raise httpx2.ReadError("cut")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self.text.encode()
        raise httpx2.ReadError("cut")


class Service:
    """Answers with what it is given, in turn, and remembers the requests and the waits.

    Uploads are kept as the real service keeps them: by hash.
    """

    def __init__(self, *answers: httpx2.Response | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[httpx2.Request] = []
        self.bodies: list[bytes] = []
        self.waits: list[float] = []
        self.files: dict[str, bytes] = {}

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        self.bodies.append(request.read())
        if request.url.path == "/api/uploads":
            asked = json.loads(self.bodies[-1])["files"]
            return httpx2.Response(200, json={"files": [self.wanted(**file) for file in asked]})
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if answer.is_success and request.method == "PUT":
            self.files[request.url.path.rpartition("/")[2]] = self.bodies[-1]
        return answer

    def wanted(self, sha256: str, name: str, **_: Any) -> dict[str, Any]:
        present = sha256 in self.files
        put = {"url": f"/api/uploads/{sha256}", "headers": {}}
        return {
            "input": f"upload:{sha256}/{name}",
            "present": present,
            "put": None if present else put,
        }

    def client(self, **options: Any) -> Client:
        http = httpx2.Client(transport=httpx2.MockTransport(self))
        return Client(URL, http=http, sleep=self.waits.append, **options)

    @property
    def sent(self) -> list[tuple[str, str]]:
        return [(request.method, request.url.path) for request in self.requests]


def problem(status: int, detail: str, field: str | None = None, **headers: str) -> httpx2.Response:
    body = {"title": "x", "status": status, "detail": detail, "field": field}
    return httpx2.Response(status, json=body, headers=headers)


def ok(value: Any = JOB) -> httpx2.Response:
    return httpx2.Response(200, json=value)


# --- requests, retries, errors


def test_a_repeated_submission_is_the_same_job() -> None:
    """The reply to the first one is lost, so it is sent again: under the same key."""
    service = Service(httpx2.ReadError("cut"), ok())
    job = service.client().submit([ServerPath("/inputs/a")], ask="What?")
    first, again = (json.loads(body) for body in service.bodies)
    assert first == again
    assert first["key"].startswith("client-")
    assert first["images"] == ["/inputs/a"]
    assert (job.job, job.created) == ("j1", True)


def test_what_would_be_done_twice_is_sent_once() -> None:
    service = Service(httpx2.ReadError("cut"), httpx2.ConnectError("refused"), ok())
    with pytest.raises(overstory_client.ServiceAway, match="overstory up"):
        service.client().retry("j1")
    assert len(service.requests) == 1
    service.answers[1] = ok({"job": "j1", "status": "running", "changed": True})
    assert service.client().retry("j1").changed  # what was never sent is sent again


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_service_is_asked_when_it_says(status: int) -> None:
    busy = problem(status, "later", **{"Retry-After": "7"})
    service = Service(busy, busy, ok())
    assert service.client().submit(["https://a.example/1.jpg"], ask="What?").job == "j1"
    assert service.waits == [7.0, 7.0]


def test_retries_are_bounded() -> None:
    service = Service(*[problem(429, "later", **{"Retry-After": "99999"})] * 3)
    with pytest.raises(overstory_client.TooBusy) as refused:
        service.client(retries=Retries(attempts=3)).jobs()
    assert (service.waits, refused.value.status) == ([60.0, 60.0], 429)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, "NotAuthorized"),
        (403, "Refused"),
        (404, "NotFound"),
        (409, "Conflict"),
        (413, "TooLarge"),
        (422, "WrongUsage"),
        (500, "ServiceFailed"),
    ],
)
def test_a_problem_is_an_error_of_its_kind(status: int, kind: str) -> None:
    service = Service(problem(status, "pack: too many", "pack"))
    with pytest.raises(getattr(overstory_client, kind), match="pack: too many") as refused:
        service.client().show("j1")
    assert (refused.value.field, refused.value.status) == ("pack", status)


def test_an_answer_of_another_server_is_an_error_too() -> None:
    for other in (httpx2.Response(200, text="<html>"), httpx2.Response(500, text="oops")):
        with pytest.raises(overstory_client.ServiceFailed):
            Service(other).client().status("j1")
    with pytest.raises(overstory_client.WrongUsage, match=r"127\.0\.0\.1:8700"):
        Client("127.0.0.1:8700")


def test_the_token_goes_to_the_service_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OVERSTORY_TOKEN", "secret\n")
    (tmp_path / "1.jpg").write_bytes(b"one")
    service = Service(ok({}), ok())
    to_bucket = {"url": "https://bucket.example/x?signed", "headers": {"x-a": "b"}}
    service.wanted = lambda **file: {
        "input": "upload:x",
        "present": False,
        "put": to_bucket,
    }
    service.client().submit([tmp_path / "1.jpg"], ask="What?")
    asked, put, submitted = service.requests
    assert asked.headers["Authorization"] == submitted.headers["Authorization"] == "Bearer secret"
    assert str(put.url) == to_bucket["url"]
    assert "Authorization" not in put.headers
    assert (put.headers["x-a"], put.headers["Content-Length"]) == ("b", "3")


def test_a_job_is_named_by_what_a_method_returned() -> None:
    service = Service(ok(), ok({"job": "a/b", "status": "paused", "changed": True}))
    client = service.client()
    client.pause(client.submit(["https://a.example/1.jpg"], ask="What?"))
    assert service.sent[-1] == ("POST", "/api/jobs/j1/pause")
    service.answers = [ok({"job": "a/b", "status": "paused", "changed": True})]
    client.cancel("../a?b")  # an id stays one part of the path
    assert service.requests[-1].url.raw_path == b"/api/jobs/..%2Fa%3Fb/cancel"


# --- uploads


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Seven images: two of the same bytes, one inside; and what is none."""
    photos = tmp_path / "photos"
    (photos / "in" / "@eaDir").mkdir(parents=True)
    for number in (1, 2, 10):
        (photos / f"img{number}.jpg").write_bytes(b"%d" % number)
    for name in ("a.HEIC", "b.png", "in/scan.pdf"):
        (photos / name).write_bytes(name.encode())
    (photos / "same.jpg").write_bytes(b"10")
    for name in ("notes.txt", ".hidden.jpg", "in/@eaDir/thumb.jpg"):
        (photos / name).write_bytes(b"no")
    return photos


def test_a_folder_is_uploaded_once_and_in_natural_order(folder: Path) -> None:
    service = Service(*[ok({})] * 6, ok(), ok())
    client, counts = service.client(), []
    client.submit([folder], ask="What?", on_upload=lambda done, of: counts.append((done, of)))
    inputs = json.loads(service.bodies[-1])["images"]
    names = [text.partition("/")[2] for text in inputs]
    expected = ["a.HEIC", "b.png", "img1.jpg", "img2.jpg", "img10.jpg", "in/scan.pdf", "same.jpg"]
    assert names == expected
    assert counts == [(7, 7)]
    for text, name in zip(inputs, names, strict=True):
        content = (folder / name).read_bytes()
        assert service.files[text[7:71]] == content
        assert text[7:71] == hashlib.sha256(content).hexdigest()
    client.submit([folder], ask="Why?")
    assert sum(method == "PUT" for method, _ in service.sent) == 6  # one for each content


def test_an_upload_goes_on_after_a_cut(folder: Path) -> None:
    """One that is lost is sent again; after a longer cut the next call sends what is missing."""
    few = Retries(attempts=2)
    service = Service(ok({}), httpx2.WriteError("cut"), ok({}), *[httpx2.ReadError("cut")] * 12)
    with pytest.raises(overstory_client.ServiceAway):
        service.client(retries=few).submit([folder], ask="What?")
    there = len(service.files)
    assert there == 2
    service.answers, before = [*[ok({})] * 4, ok()], len(service.requests)
    service.client(retries=few).submit([folder], ask="What?")
    puts = [method for method, _ in service.sent[before:]].count("PUT")
    assert (puts, len(service.files)) == (4, 6)


def test_inputs_keep_their_order_and_a_missing_one_is_named(folder: Path) -> None:
    service = Service(ok({}), ok())
    images = ["https://a.example/1.jpg", str(folder / "b.png"), ServerPath("/inputs/*.jpg")]
    service.client().submit(images, ask="What?")
    url, upload, path = json.loads(service.bodies[-1])["images"]
    assert (url, path) == ("https://a.example/1.jpg", "/inputs/*.jpg")
    assert upload.endswith("/b.png")
    for wrong in ("nowhere.jpg", folder / "in" / "@eaDir" / "x", folder.parent / "empty"):
        (folder.parent / "empty").mkdir(exist_ok=True)
        with pytest.raises(overstory_client.WrongUsage, match=Path(wrong).name) as refused:
            service.client().submit([wrong], ask="What?")
        assert refused.value.field == "images"


def test_the_service_takes_the_same_files_for_images() -> None:
    assert files.IMAGE_ENDINGS == IMAGE_ENDINGS


# --- waiting, events, results


def test_waiting_ends_with_the_job_or_its_time() -> None:
    now = {"job": "j1", "status": "running", "reason": None, "coverage": {}, "over": False}
    over = now | {"status": "paused", "reason": "budget", "over": True}
    service = Service(ok(now), ok(now), ok(over))
    status = service.client().wait("j1")
    assert (status.status, status.ended, len(service.waits)) == ("paused", False, 2)
    with pytest.raises(TimeoutError, match="j1"):
        Service(ok(now)).client().wait("j1", seconds=0)


def test_events_go_on_after_cuts_and_none_comes_twice() -> None:
    """Also where the service sends one again, or ends the stream without an end."""
    streams = [
        httpx2.Response(200, stream=Cut(EVENT.format(3) + EVENT.format(5) + "id: 6\nevent: ima")),
        httpx2.ConnectError("restarting"),
        problem(503, "the database is away", **{"Retry-After": "2"}),
        EVENT.format(5) + EVENT.format(8) + ": still here\n\n",
        EVENT.format(9) + END,
    ]
    service = Service(*[given(stream) for stream in streams])
    events = list(service.client().events("j1", after=2))
    assert [event.id for event in events] == [3, 5, 8, 9]
    assert events[0].name == "image.included"
    resumed = [request.headers["Last-Event-ID"] for request in service.requests]
    assert resumed == ["2", "5", "5", "5", "8"]
    assert service.waits[2] == 2.0


def given(stream: str | httpx2.Response | Exception) -> httpx2.Response | Exception:
    if isinstance(stream, str):
        return httpx2.Response(200, text=stream, headers={"Content-Type": "text/event-stream"})
    if isinstance(stream, httpx2.Response) and stream.is_success:
        stream.headers["Content-Type"] = "text/event-stream"
    return stream


def test_events_end_with_an_error_if_the_service_stays_away() -> None:
    service = Service(*[httpx2.ConnectError("refused")] * 9)
    with pytest.raises(overstory_client.ServiceAway):
        list(service.client().events("j1"))
    assert len(service.requests) == Retries().attempts
    gone = Service(problem(404, "there is no job"))
    with pytest.raises(overstory_client.NotFound):
        list(gone.client().events("j1"))


class Receipt(BaseModel):
    shop: str
    total: float


def test_answers_come_as_the_model_that_was_the_schema() -> None:
    raw = {
        "job": "j1",
        "status": "completed",
        "answer": '{"shop": "A", "total": 2}',
        "coverage": {"submitted": 3},
        "data": {"shop": "A", "total": 2},
        "images": [
            {"position": 1, "answer": {"shop": "A", "total": 1.5}},
            {"position": 2, "answer": None},
            {"position": 3, "answer": {"shop": "B", "total": "much"}},
        ],
        "usage": {"cost": 0.1},
    }
    service = Service(ok(), ok(raw), ok(raw))
    client = service.client()
    client.submit(["https://a.example/1.jpg"], each="What?", schema=Receipt)
    assert json.loads(service.bodies[0])["schema"] == Receipt.model_json_schema()
    result = client.result("j1", Receipt)
    assert result.data == Receipt(shop="A", total=2)
    with pytest.raises(ValidationError):
        _ = result.answers
    assert client.result("j1").answers[3] == {"shop": "B", "total": "much"}
    raw["images"].pop()
    service.answers = [ok(raw)]
    assert client.result("j1", Receipt).answers == {1: Receipt(shop="A", total=1.5)}


def test_a_report_is_a_file_when_it_is_complete(tmp_path: Path) -> None:
    to = tmp_path / "report.html"
    cut = httpx2.Response(200, stream=Cut("<html>"))
    with pytest.raises(overstory_client.ServiceAway):
        Service(cut).client(retries=Retries(attempts=1)).report("j1", to)
    assert list(tmp_path.iterdir()) == []
    service = Service(httpx2.Response(200, stream=Cut("<htm")), httpx2.Response(200, text="<html>"))
    assert service.client().report("j1", to) == to
    assert to.read_text() == "<html>"
    assert Service(httpx2.Response(200, text="a,b")).client().export("j1", "csv") == b"a,b"


# --- the async client, and the distribution


def test_the_async_client_does_the_same(folder: Path) -> None:
    """Its code is what the sync one is written from, but for io.py."""
    service = Service(
        *[ok({})] * 2,
        httpx2.WriteError("cut"),
        *[ok({})] * 4,
        ok(),
        given(httpx2.Response(200, stream=Cut(EVENT.format(1)))),
        given(EVENT.format(2) + END),
    )

    async def wait(seconds: float) -> None:
        service.waits.append(seconds)

    async def use() -> list[int]:
        http = httpx2.AsyncClient(transport=httpx2.MockTransport(service))
        async with AsyncClient(URL, http=http, sleep=wait) as client:
            job = await client.submit([folder], ask="What?")
            ids = [event.id async for event in client.events(job)]
        with pytest.raises(overstory_client.WrongUsage):
            await client.submit([folder / "nowhere.jpg"], ask="What?")
        return ids

    assert asyncio.run(use()) == [1, 2]
    assert (len(service.files), len(service.waits)) == (6, 2)


def test_the_sync_client_is_what_the_generator_writes() -> None:
    """``python clients-http/generate.py`` after a change of the async one."""
    sys.path.insert(0, str(ROOT / "clients-http"))
    try:
        from generate import MODULES, PACKAGE, generated
    finally:
        sys.path.pop(0)
    for module in MODULES:
        assert (PACKAGE / "_sync" / f"{module}.py").read_text("utf-8") == generated(module)


def test_the_wheel_has_one_name_and_two_requirements(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    source = tmp_path / "source"
    made = shutil.ignore_patterns("build", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT / "clients-http", source, ignore=made)
    subprocess.run([*pip, "--wheel-dir", tmp_path, source], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        names = packed.namelist()
        (about,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        metadata = HeaderParser().parsestr(packed.read(about).decode())
    folders = {name.partition("/")[0] for name in names if ".dist-info/" not in name}
    assert folders == {"overstory_client"}
    assert "overstory_client/py.typed" in names
    required = {line.split("<")[0].split(">")[0] for line in metadata.get_all("Requires-Dist", [])}
    assert required == {"httpx2", "pydantic"}
    assert metadata["Version"] == overstory_client.__version__
