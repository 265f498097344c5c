"""The page over HTTP, and the parts of the API that were made for it."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.testclient import TestClient

from core.settings import load
from models.engine import Database
from overstory.api.app import make_api
from overstory.api.caller import Caller, known_caller
from overstory.api.progress import FRESH_SECONDS, SharedProgress
from overstory.local.job_runner import planning_services
from tasks.runtime.services import Services
from tests.support.account import Account, on_one_database
from tests.support.api import BASE, HERE


def client_of(services: Services, caller: Caller | None = None) -> TestClient:
    app = make_api(services)
    if caller is not None:
        app.dependency_overrides[known_caller] = lambda: caller
    return TestClient(app, BASE, client=HERE)


@pytest.fixture
def client(own: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """A service that has no job, and one folder of inputs."""
    monkeypatch.setenv("OVERSTORY_INPUT_ROOTS", str(tmp_path / "inputs"))
    (tmp_path / "inputs").mkdir()
    services = planning_services(load())
    with client_of(services) as client:
        yield client
    services.close()


def names(listing: dict[str, Any]) -> list[str]:
    return [folder["name"] for folder in listing["folders"]]


# --- documents and files


@pytest.mark.parametrize("path", ["/", "/jobs/any", "/static/new.js", "/static/report.css"])
def test_a_document_is_sent_once_and_bound_by_its_policy(client: TestClient, path: str) -> None:
    first = client.get(path)
    assert first.status_code == 200
    assert "default-src 'none'" in first.headers["Content-Security-Policy"]
    assert first.headers["X-Content-Type-Options"] == "nosniff"
    again = client.get(path, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert "@@" not in first.text


def test_what_a_document_refers_to_is_there(client: TestClient) -> None:
    for document in ("/", "/jobs/any"):
        text = client.get(document).text
        wanted = {part.split('"')[0] for part in text.split('="/static/')[1:]}
        assert {"report.css", "page.css", "icon.svg"} < wanted
        assert [client.get(f"/static/{name}").status_code for name in wanted] == [200] * len(wanted)


@pytest.mark.parametrize("name", ["none.js", "..%2fpages.py", "new.html", "__init__.py"])
def test_no_other_file_is_sent(client: TestClient, name: str) -> None:
    assert client.get(f"/static/{name}").status_code == 404


# --- folders


def test_a_person_finds_the_way_through_the_folders_of_inputs(
    client: TestClient, tmp_path: Path
) -> None:
    root = tmp_path / "inputs"
    for name in ("trip 10", "trip 2", ".hidden", "trip 2/day 1"):
        (root / name).mkdir()
    for name in ("a.jpg", "B.JPEG", "text.txt", ".c.jpg"):
        (root / "trip 2" / name).touch()
    (root / "out").symlink_to(tmp_path)
    (root / "in").symlink_to(root / "trip 2")

    top = client.get("/api/folders").json()
    assert (top["path"], names(top)) == (None, [str(root)])
    listing = client.get("/api/folders", params={"path": top["folders"][0]["path"]}).json()
    assert names(listing) == ["in", "trip 2", "trip 10"]
    assert listing["parent"] is None
    inner = client.get("/api/folders", params={"path": listing["folders"][1]["path"]}).json()
    assert (inner["images"], names(inner), inner["parent"]) == (2, ["day 1"], str(root))


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/etc", 403),
        ("{root}/..", 403),
        ("{root}/../inputs-beside", 403),
        ("{root}/out", 422),
        ("{root}/none", 422),
        ("{root}/a.jpg", 422),
        ("{root}/\0", 422),
    ],
)
def test_no_other_folder_is_listed(
    client: TestClient, tmp_path: Path, path: str, status: int
) -> None:
    root = tmp_path / "inputs"
    (tmp_path / "inputs-beside").mkdir()
    (root / "out").symlink_to(tmp_path)
    (root / "a.jpg").touch()
    answer = client.get("/api/folders", params={"path": path.format(root=root)})
    assert answer.status_code == status
    assert answer.json()["detail"]


def test_overstorys_own_folder_is_not_listed(
    own: Database, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OVERSTORY_INPUT_ROOTS", str(home.parent))
    services = planning_services(load())
    with client_of(services) as client:
        assert client.get("/api/folders", params={"path": str(home)}).status_code == 403
    services.close()


# --- a job


@pytest.fixture
def answered(
    open_account: Callable[..., Account], make_images: Callable[..., Path]
) -> tuple[Account, str]:
    """An account with an answered job of two leaves: ten images, a duplicate, and no picture."""
    folder = make_images(10)
    (folder / "twin.jpg").write_bytes((folder / "0000.jpg").read_bytes())
    (folder / "zz.jpg").write_text("this is a text")
    account = open_account()
    job = account.submit(folder)
    account.ended(job)
    return account, job


@on_one_database
def test_a_job_is_watched_and_its_answer_read(answered: tuple[Account, str]) -> None:
    account, job = answered
    with client_of(account.services) as client:
        now = client.get(f"/api/jobs/{job}/progress").json()
        assert now["status"] == "partial"
        assert now["stages"][0] == {"name": "prepare", "done": 11, "total": 11}
        assert now["images"] == {"submitted": 12, "included": 10, "duplicate": 1, "failed": 1}
        assert [*map(len, now["levels"])] == [2, 1]
        assert set("".join(now["levels"])) == {"d"}
        assert now["cost"] > 0
        spans = client.get(f"/api/jobs/{job}/tree").json()
        assert [len(level) for level in spans] == [2, 1]
        assert spans[1] == [[1, 12]]

        report = client.get(f"/api/jobs/{job}/report.json").json()
        assert report["pictures"] is None
        pictured = {image["n"]: image.get("picture") for image in report["images"]}
        assert pictured == {n: n for n in range(1, 11)} | {11: 1, 12: None}

        assert client.get(f"/api/jobs/{job}/events?after={now['last_event']}").text.startswith(
            "event: end"
        )


@on_one_database
def test_pictures_come_in_few_sizes_and_once(answered: tuple[Account, str]) -> None:
    account, job = answered
    with client_of(account.services) as client:
        path = f"/api/jobs/{job}/images"
        small = client.get(f"{path}/2/picture", params={"side": 10})
        assert small.headers["Content-Type"] == "image/jpeg"
        assert max(Image.open(io.BytesIO(small.content)).size) <= 144
        assert "private" in small.headers["Cache-Control"]
        known = {"If-None-Match": small.headers["ETag"]}
        assert client.get(f"{path}/2/picture?side=144", headers=known).status_code == 304
        assert client.get(f"{path}/2/picture?side=145", headers=known).status_code == 200
        twin = client.get(f"{path}/11/picture")
        assert twin.headers["ETag"] == client.get(f"{path}/1/picture").headers["ETag"]
        for position in (12, 13, 0):
            assert client.get(f"{path}/{position}/picture").status_code == 404
        assert client.get(f"{path}/1/picture?side=100000").status_code == 422


@on_one_database
@pytest.mark.parametrize("look", [[], [2, 3]])
def test_a_further_question_takes_what_was_foreseen(
    answered: tuple[Account, str], look: list[int]
) -> None:
    account, job = answered
    asked = {"question": "Which is darkest?", "images": look}
    with client_of(account.services) as client:
        before = client.get("/api/jobs").json()
        price = client.post(f"/api/jobs/{job}/ask/estimate", json=asked).json()
        assert client.get("/api/jobs").json() == before  # nothing was written
        turn = client.post(f"/api/jobs/{job}/ask", json=asked).json()["job"]
        account.ended(turn)
        used = client.get(f"/api/jobs/{turn}").json()["usage"]
        assert price["requests"] == used["requests"] == (2 if look else 1)
        assert price["images"] == (6 if look else 0)
        assert price["prompt_tokens"] == pytest.approx(used["prompt_tokens"], rel=0.35)
        assert price["cost"] < price["cost_most"]
        assert price["asked"] is False
        again = client.post(f"/api/jobs/{job}/ask/estimate", json=asked).json()
        assert (again["asked"], again["cost"], again["requests"]) == (True, 0, 0)
        refused = client.post(f"/api/jobs/{job}/ask/estimate", json=asked | {"images": [99]})
        assert (refused.status_code, refused.json()["field"]) == (422, "images")


@on_one_database
def test_a_stranger_sees_nothing_of_a_job(answered: tuple[Account, str]) -> None:
    account, job = answered
    parts = ["progress", "tree", "report.json", "images/1/picture"]
    with client_of(account.services, Caller("eve", is_admin=False)) as client:
        assert [client.get(f"/api/jobs/{job}/{part}").status_code for part in parts] == [404] * 4
        asked = client.post(f"/api/jobs/{job}/ask/estimate", json={"question": "Why?"})
        assert asked.status_code == 404


@on_one_database
def test_watchers_of_a_job_share_what_is_read(
    open_account: Callable[..., Account], make_images: Callable[..., Path]
) -> None:
    account = open_account(start=False)
    job = account.job(account.submit(make_images(2)))
    now = 100.0
    standings = SharedProgress(account.services, clock=lambda: now)
    first = standings.of(job)
    assert (first["status"], first["note"]) == ("running", "held by: preparing images (CPU)")
    assert standings.of(job) is first
    now += 2 * FRESH_SECONDS
    assert standings.of(job) is not first
