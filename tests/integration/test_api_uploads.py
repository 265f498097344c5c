"""Uploads over HTTP: announced, sent one by one, or in a form with the question."""

from __future__ import annotations

import hashlib
import os
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from clients.uploads import Uploads
from overstory.api.app import make_api
from overstory.api.caller import Caller, _caller_of
from tests.support.account import Account, on_one_database
from tests.support.bucket import bucket
from tests.support.pictures import draw_image

__all__ = ["bucket"]

pytestmark = on_one_database
BASE = "http://127.0.0.1:8700"
A, B = os.urandom(700_000), os.urandom(30_000)
SHA_A, SHA_B = (hashlib.sha256(data).hexdigest() for data in (A, B))
BOUNDARY = "b0undary"


@pytest.fixture
def account(open_account: Callable[..., Account]) -> Account:
    return open_account(start=False, max_file_bytes=1_000_000)


@pytest.fixture
def app(account: Account) -> FastAPI:
    return make_api(account.services)


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app, BASE, client=("127.0.0.1", 4711)) as client:
        yield client


def announce(client: TestClient, *files: tuple[str, int, str], **more: Any) -> list[dict[str, Any]]:
    named = [{"sha256": sha, "bytes": size, "name": name} for sha, size, name in files]
    answer = client.post("/api/uploads", json={"files": named, **more})
    assert answer.status_code == 200, answer.text
    return list(answer.json()["files"])


def kept(uploads: Uploads) -> dict[str, str]:
    return {upload.sha256: upload.owner for upload in uploads.kept(4e9)}


def form(*parts: tuple[str, bytes]) -> bytes:
    lines = [b"--b0undary\r\n%s\r\n\r\n%s\r\n" % (head.encode(), data) for head, data in parts]
    return b"".join(lines) + b"--b0undary--\r\n"


def field(name: str, text: str) -> tuple[str, bytes]:
    return f'Content-Disposition: form-data; name="{name}"', text.encode()


def file(name: str, data: bytes, of: str = "images") -> tuple[str, bytes]:
    head = f'content-disposition: form-data; name="{of}"; filename="{name}"'
    return f"{head}\r\nContent-Type: image/jpeg", data


def post(client: TestClient, body: bytes | Iterator[bytes], **headers: str) -> Any:
    kind = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    return client.post("/api/jobs", content=body, headers=kind | headers)


# --- one by one


def test_only_what_is_missing_is_sent(client: TestClient, account: Account) -> None:
    wanted = [(SHA_A, len(A), "trip/a.jpg"), (SHA_B, len(B), "b.jpg")]
    for place in announce(client, *wanted):
        assert place["present"] is False
        assert place["put"]["url"].startswith("/api/uploads/")
    put = announce(client, *wanted)[0]["put"]
    sent = client.put(put["url"], content=A, headers=put["headers"], params={"name": "trip/a.jpg"})
    assert (sent.status_code, sent.json()["input"]) == (201, f"upload:{SHA_A}/trip/a.jpg")
    there, missing = announce(client, *wanted)  # after a cut
    assert (there["present"], there["put"]) == (True, None)
    assert missing["present"] is False
    assert client.put(put["url"], content=A).status_code == 200
    assert kept(account.services.uploads) == {SHA_A: "local"}


def test_a_job_is_made_of_uploads(client: TestClient, account: Account) -> None:
    client.put(f"/api/uploads/{SHA_A}", content=A)
    images = [f"upload:{SHA_A}/trip/a.jpg", f"upload:{SHA_A}/again.jpg"]
    job = client.post("/api/jobs", json={"images": images, "ask": "What?"}).json()["job"]
    lines = client.get(f"/api/jobs/{job}/images").json()
    assert [(line["name"], line["duplicate_of"]) for line in lines] == [
        ("trip/a.jpg", None),
        ("again.jpg", 1),
    ]


def test_other_bytes_than_announced_are_refused(client: TestClient, account: Account) -> None:
    answer = client.put(f"/api/uploads/{SHA_A}", content=B)
    assert answer.status_code == 422
    assert SHA_B in answer.json()["detail"]
    assert kept(account.services.uploads) == {}


@pytest.mark.parametrize("has_length", [True, False])
def test_a_file_that_is_too_large_is_refused(
    client: TestClient, account: Account, has_length: bool
) -> None:
    large = bytes(1_000_001)
    sha = hashlib.sha256(large).hexdigest()
    body = large if has_length else iter([large[:600_000], large[600_000:]])
    answer = client.put(f"/api/uploads/{sha}", content=body, params={"name": "huge.tif"})
    assert answer.status_code == 413
    assert "'huge.tif' has more than 1,000,000 bytes" in answer.json()["detail"]
    assert kept(account.services.uploads) == {}
    announced = {"files": [{"sha256": sha, "bytes": len(large), "name": "huge.tif"}]}
    assert client.post("/api/uploads", json=announced).status_code == 413


@pytest.mark.parametrize("name", ["x", SHA_A.upper(), f"{SHA_A}0", "..", "%2e%2e%2fx"])
def test_only_hashes_are_names(client: TestClient, name: str) -> None:
    assert client.put(f"/api/uploads/{name}", content=A).status_code in (404, 405, 422)


def test_uploads_are_their_owners_alone(app: FastAPI, client: TestClient, account: Account) -> None:
    app.dependency_overrides[_caller_of] = lambda: Caller("ann", is_admin=False)
    client.put(f"/api/uploads/{SHA_A}", content=A)
    app.dependency_overrides[_caller_of] = lambda: Caller("bob", is_admin=False)
    assert announce(client, (SHA_A, len(A), "a.jpg"))[0]["present"] is False
    for image in (f"upload:{SHA_A}/a.jpg", f"upload:ann/{SHA_A}/a.jpg"):
        answer = client.post("/api/jobs", json={"images": [image], "ask": "What?"})
        assert (answer.status_code, answer.json()["field"]) == (422, "images")
    app.dependency_overrides[_caller_of] = lambda: Caller("eve", is_admin=False, read_only=True)
    assert client.put(f"/api/uploads/{SHA_A}", content=A).status_code == 403
    assert kept(account.services.uploads) == {SHA_A: "ann"}


def test_a_page_of_another_site_uploads_nothing(client: TestClient, account: Account) -> None:
    foreign = {"Origin": "https://evil.example"}
    assert client.put(f"/api/uploads/{SHA_A}", content=A, headers=foreign).status_code == 403
    assert post(client, form(file("a.jpg", A)), **foreign).status_code == 403
    assert kept(account.services.uploads) == {}


def test_a_bucket_takes_files_by_presigned_urls(
    bucket: dict[str, bytes], open_account: Callable[..., Account]
) -> None:
    services = open_account(start=False, blob_url="s3://photos/all").services
    with TestClient(make_api(services), BASE) as client:
        (place,) = announce(client, (SHA_A, len(A), "a.jpg"))
        url = place["put"]["url"]
        assert urlsplit(url).path == f"/photos/all/uploads/local/{SHA_A[:2]}/{SHA_A}"
        urllib.request.urlopen(urllib.request.Request(url, A, method="PUT")).close()
        assert announce(client, (SHA_A, len(A), "a.jpg"))[0]["present"]
        assert not announce(client, (SHA_A, len(A) + 1, "a.jpg"))[0]["present"]  # it was cut
        (through_us,) = announce(client, (SHA_B, len(B), "b.jpg"), direct=False)
        assert through_us["put"]["url"] == f"/api/uploads/{SHA_B}"
        assert client.put(f"/api/uploads/{SHA_B}", content=B).status_code == 201
    assert len(bucket) == 2


# --- a form


def test_a_form_makes_a_job(client: TestClient, account: Account) -> None:
    body = form(
        file("trip/a.jpg", A),
        field("ask", "What is in the pictures?"),
        field("schema", '{"type": "object", "properties": {"n": {"type": "integer"}}}'),
        field("fresh", "true"),
        field("budget", "2.5"),
        field("label", ""),
        field("images", "https://shop.example/x.jpg"),
        file("b.jpg", B, "images[]"),
    )
    pieces = iter([body[at : at + 777] for at in range(0, len(body), 777)])
    answer = post(client, pieces)
    assert answer.status_code == 201, answer.text
    job = answer.json()["job"]
    names = [line["name"] for line in client.get(f"/api/jobs/{job}/images").json()]
    assert names == ["trip/a.jpg", "shop.example/x.jpg", "b.jpg"]
    row = account.job(job)
    assert (row.ask, row.options.fresh, row.options.budget) == (
        "What is in the pictures?", True, 2.5,
    )  # fmt: skip
    assert kept(account.services.uploads) == {SHA_A: "local", SHA_B: "local"}


def test_a_form_may_bring_the_submission_as_json(client: TestClient) -> None:
    job = '{"ask": "What?", "key": "k", "images": ["https://shop.example/x.jpg"]}'
    body = form(field("job", job), file("a.jpg", A))
    first, second = post(client, body), post(client, body)
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["job"] == second.json()["job"]
    other = post(client, form(field("job", job), file("b.jpg", B)))
    assert other.status_code == 422
    assert "key" in other.json()["detail"]


def test_the_header_is_the_key_of_a_form_too(client: TestClient) -> None:
    body = form(field("ask", "What?"), file("a.jpg", A))
    answers = [post(client, body, **{"Idempotency-Key": "k"}).json() for _ in range(2)]
    assert [answer["created"] for answer in answers] == [True, False]


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ([file("a.jpg", A)], "ask"),
        ([field("ask", "?"), field("ask", "!"), file("a.jpg", B)], "ask: it is given twice"),
        ([field("ask", "?"), field("job", '{"ask": "!"}'), file("a.jpg", B)], "given twice"),
        ([field("ask", "?"), file("a.jpg", B, "picture")], "fields called 'images'"),
        ([field("ask", "?"), field("schema", "{"), file("a.jpg", B)], "schema: it is not JSON"),
        ([field("ask", "?"), field("colour", "red"), file("a.jpg", B)], "colour"),
        ([field("ask", "?" * 1_000_001), file("a.jpg", B)], "more than 1,000,000 bytes"),
        ([field("ask", "?")], "images"),
        ([field("job", "[1]"), file("a.jpg", B)], "job: it must be a JSON object"),
        ([field(f"f{n}", "x") for n in range(101)], "more than 100 fields"),
        ([("X: y\r\n" * 20 + "A: b", b"")], "the form cannot be read"),
    ],
)  # fmt: skip
def test_a_wrong_form_says_what_is_wrong(
    client: TestClient, parts: list[tuple[str, bytes]], says: str
) -> None:
    answer = post(client, form(*parts))
    assert answer.status_code == 422, answer.text
    assert says in answer.json()["detail"]


def test_a_form_that_is_cut_makes_no_job(client: TestClient, account: Account) -> None:
    whole = form(field("ask", "?"), file("a.jpg", A), file("b.jpg", B))
    for end in (len(whole) - 6, len(whole) - 20_000, 300_000, 10):
        answer = post(client, whole[:end])
        assert (answer.status_code, answer.json()["detail"].partition(":")[0]) == (
            422, "the form ends before its last boundary",
        )  # fmt: skip
    assert client.get("/api/jobs").json() == []
    assert kept(account.services.uploads) == {SHA_A: "local"}
    assert list((account.services.settings.home / "uploads" / "_parts").iterdir()) == []


def test_a_large_file_in_a_form_is_refused(client: TestClient, account: Account) -> None:
    answer = post(client, form(field("ask", "?"), file("huge.tif", bytes(1_000_001))))
    assert answer.status_code == 413
    assert "'huge.tif'" in answer.json()["detail"]
    assert kept(account.services.uploads) == {}


def test_a_form_has_no_more_images_than_a_submission(
    open_account: Callable[..., Account],
) -> None:
    services = open_account(start=False, max_inputs=2).services
    with TestClient(make_api(services), BASE) as client:
        answer = post(client, form(*(file(f"{n}.jpg", B) for n in range(3)), field("ask", "?")))
    assert answer.status_code == 422
    assert "images: more than 2" in answer.json()["detail"]


def test_names_in_a_form_lead_nowhere(client: TestClient) -> None:
    names = ["../../etc/passwd", "a\x00b.jpg", "dü.jpg"]
    parts = [file(name, name.encode()) for name in names]
    job = post(client, form(field("ask", "?"), *parts)).json()["job"]
    shown = [line["name"] for line in client.get(f"/api/jobs/{job}/images").json()]
    assert shown == ["etc/passwd", r"a\x00b.jpg", "dü.jpg"]


def test_both_bodies_of_a_submission_are_described(client: TestClient) -> None:
    operation = client.get("/openapi.json").json()["paths"]["/api/jobs"]["post"]
    content = operation["requestBody"]["content"]
    assert content["application/json"]["schema"]["$ref"].endswith("/JobSpec")
    fields = content["multipart/form-data"]["schema"]["properties"]
    assert {"images", "ask", "schema", "job"} <= fields.keys()
    page = client.get("/docs").text
    assert "multipart/form-data" in page
    assert "/api/uploads/{sha256}" in page


def test_a_real_picture_is_answered(open_account: Callable[..., Account], tmp_path: Any) -> None:
    account = open_account()
    data = draw_image(tmp_path / "a.jpg", 3).read_bytes()
    with TestClient(make_api(account.services), BASE) as client:
        job = post(client, form(field("ask", "What?"), file("a.jpg", data))).json()["job"]
        (row,) = account.ended(job)
    assert row.status == "completed"


def test_the_program_of_the_docs_sends_a_folder_and_goes_on_after_a_cut(
    client: TestClient, account: Account, make_images: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    page = (Path(__file__).parents[2] / "docs" / "uploads.md").read_text("utf-8")
    program = page.partition("```python\n")[2].partition("```")[0]
    folder = make_images(5)
    puts: list[str] = []
    send = client.put
    monkeypatch.setattr(client, "put", lambda url, **sent: puts.append(url) or send(url, **sent))
    monkeypatch.setattr("httpx2.Client", lambda **options: client)
    monkeypatch.setattr("sys.argv", ["send.py", str(folder)])
    exec(program, {})
    first = capsys.readouterr().out.split()[-1]
    assert len(puts) == 5
    upload = next(account.services.uploads.kept(4e9))
    assert account.services.uploads.drop(upload, 4e9)
    exec(program, {})
    assert puts[5:] == [f"/api/uploads/{upload.sha256}"]
    assert capsys.readouterr().out.split()[-1] == first  # the same key is the same job
    lines = client.get(f"/api/jobs/{first}/images").json()
    assert [line["name"] for line in lines] == [f"{n:04}.jpg" for n in range(5)]
