"""Jobs over HTTP do what the commands of the same name do."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from models.engine import Database
from tests.support import jobs
from tests.support.api import api, events_of


@pytest.fixture
def photos(make_images: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three images in an allowed folder."""
    folder = make_images(3)
    monkeypatch.setenv("OVERSTORY_INPUT_ROOTS", str(folder))
    return folder


@pytest.fixture
def web(own: Database, photos: Path) -> Iterator[TestClient]:
    with api() as client:
        yield client


def submitted(web: TestClient, photos: Path, **fields: Any) -> str:
    done = web.post("/api/jobs", json={"images": [str(photos)], "ask": "What?", **fields})
    assert done.status_code == 201, done.text
    return str(done.json()["job"])


def finished(own: Database) -> str:
    job = jobs.submit(own, duplicates=1)
    jobs.finish_all(own, jobs.upload_all(own, job))
    return job


def test_a_submission_is_a_job_and_its_key_the_same_one(web: TestClient, photos: Path) -> None:
    spec = {"images": [str(photos)], "ask": "What?"}
    first = web.post("/api/jobs", json=spec, headers={"Idempotency-Key": "a"})
    assert (first.status_code, first.json()["created"]) == (201, True)
    assert first.headers["Location"] == f"/api/jobs/{first.json()['job']}"
    again = web.post("/api/jobs", json=spec, headers={"Idempotency-Key": "a"})
    assert (again.status_code, again.json()["created"]) == (200, False)
    assert again.json()["job"] == first.json()["job"]
    other = {**spec, "ask": "Who?"}
    refused = web.post("/api/jobs", json=other, headers={"Idempotency-Key": "a"})
    assert refused.status_code == 422
    assert refused.json()["detail"].startswith("key: ")
    both = web.post("/api/jobs", json={**spec, "key": "b"}, headers={"Idempotency-Key": "a"})
    assert (both.status_code, both.json()["field"]) == (422, "key")


@pytest.mark.parametrize(
    ("fields", "status", "field", "says"),
    [
        ({"ask": None}, 422, "ask", "nothing is asked"),
        ({"images": []}, 422, "images", "at least 1"),
        ({"detail": "huge"}, 422, "detail", "low"),
        ({"aks": "What?"}, 422, "aks", "Extra inputs"),
        ({"budget": -1}, 422, "budget", "greater than 0"),
        ({"images": ["/etc"]}, 403, None, "OVERSTORY_INPUT_ROOTS"),
        ({"schema": {"type": "strnig"}}, 422, "schema", "strnig"),
    ],
)
def test_a_wrong_submission_is_a_problem_that_names_the_field(
    web: TestClient, photos: Path, fields: dict[str, Any], status: int, field: str, says: str
) -> None:
    for path in ("/api/jobs", "/api/estimate"):
        done = web.post(path, json={"images": [str(photos)], "ask": "What?", **fields})
        assert (done.status_code, done.headers["Content-Type"]) == (
            status,
            "application/problem+json",
        )
        problem = done.json()
        assert (problem["status"], problem.get("field")) == (status, field), problem
        assert says in problem["detail"]


def test_a_table_of_a_submission_is_read_under_its_rules(web: TestClient, photos: Path) -> None:
    names = sorted(path.name for path in photos.iterdir())
    lines = ["file,asset", f"{names[0]},A1", "/etc/hostname,A2", f"{names[1]},A3"]
    (photos / "list.csv").write_text("\n".join(lines))
    spec = {"images": [str(photos / "list.csv")], "ask": "What?", "with": ["asset"]}
    refused = web.post("/api/jobs", json=spec)
    assert refused.status_code == 422
    assert "'file', 'asset'" in refused.json()["detail"]
    unknown = web.post("/api/jobs", json={**spec, "image_column": "file", "with": ["colour"]})
    assert (unknown.status_code, "'asset'" in unknown.json()["detail"]) == (422, True)
    done = web.post("/api/jobs", json={**spec, "image_column": "file"})
    assert done.status_code == 201, done.text
    images = web.get(f"/api/jobs/{done.json()['job']}/images").json()
    assert "OVERSTORY_INPUT_ROOTS" in str(images)
    assert "root:" not in str(images)
    text = web.get(f"/api/jobs/{done.json()['job']}/export?format=csv").text
    assert [row["asset"] for row in csv.DictReader(io.StringIO(text))] == ["A1", "A2", "A3"]


def test_a_table_may_be_a_file_of_the_form(web: TestClient) -> None:
    table = ("photos.csv", b"url,asset\nhttps://pictures.example/a.jpg,A1\n", "text/csv")
    fields = {"ask": "What?", "image_column": "url"}
    done = web.post("/api/jobs", data=fields, files={"images": table})
    assert done.status_code == 201, done.text
    text = web.get(f"/api/jobs/{done.json()['job']}/export?format=csv").text
    (row,) = csv.DictReader(io.StringIO(text))
    assert (row["location"], row["asset"]) == ("https://pictures.example/a.jpg", "A1")


def test_an_unknown_job_and_path_are_problems(web: TestClient) -> None:
    for path in ("/api/jobs/none", "/api/jobs/none/images", "/api/jobs/none/events", "/api/x"):
        done = web.get(path)
        assert (done.status_code, done.json()["status"]) == (404, 404), path
    assert web.put("/api/jobs", json={}).status_code == 405


def test_a_bug_is_a_problem_without_its_traceback(
    own: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.reads.inspect.jobs", lambda *_: 1 / 0)
    with api() as web:
        done = web.get("/api/jobs")
    assert done.status_code == 500
    assert "ZeroDivisionError" in done.json()["detail"]


def test_jobs_are_listed_by_state_and_label(web: TestClient, photos: Path, own: Database) -> None:
    running, done = submitted(web, photos, label="a"), finished(own)
    listed = web.get("/api/jobs").json()
    assert {line["id"] for line in listed} == {running, done}
    assert [line["id"] for line in web.get("/api/jobs?status=completed").json()] == [done]
    assert [line["id"] for line in web.get("/api/jobs?label=a").json()] == [running]
    assert web.get("/api/jobs?status=odd").json()["field"] == "status.0"


def test_a_job_is_shown_with_its_images_report_and_export(web: TestClient, own: Database) -> None:
    job = finished(own)
    shown = web.get(f"/api/jobs/{job}").json()
    assert (shown["job"], shown["status"], shown["ask"]) == (job, "completed", "?")
    assert shown["coverage"]["duplicate"] == 1
    assert len(web.get(f"/api/jobs/{job}/images").json()) == 3
    assert len(web.get(f"/api/jobs/{job}/images?status=duplicate").json()) == 1
    report = web.get(f"/api/jobs/{job}/report")
    assert report.headers["Content-Type"].startswith("text/html")
    assert job in report.text
    table = web.get(f"/api/jobs/{job}/export?format=csv")
    assert f'filename="{job}.csv"' in table.headers["Content-Disposition"]
    assert len(list(csv.DictReader(io.StringIO(table.text)))) == 3


def test_a_job_is_paused_resumed_cancelled_and_retried(web: TestClient, photos: Path) -> None:
    job = submitted(web, photos)
    at = f"/api/jobs/{job}"
    assert web.post(f"{at}/retry").status_code == 409
    assert web.post(f"{at}/pause").json() == {"job": job, "status": "paused", "changed": True}
    assert web.post(f"{at}/pause").json()["changed"] is False
    resumed = web.post(f"{at}/resume", json={"budget": 1.5})
    assert (resumed.json()["status"], resumed.status_code) == ("running", 200)
    assert web.post(f"{at}/resume", json={"budgte": 1}).json()["field"] == "budgte"
    assert web.post(f"{at}/cancel").json()["status"] == "cancelled"
    assert web.post(f"{at}/cancel").json()["changed"] is False
    assert web.post(f"{at}/resume").status_code == 409
    assert web.post(f"{at}/retry").json() == {"job": job, "status": "running", "changed": True}


def test_a_further_question_is_a_job_of_its_own(web: TestClient, own: Database) -> None:
    job = finished(own)
    asked = web.post(f"/api/jobs/{job}/ask", json={"question": "And the second?"})
    assert asked.status_code == 201, asked.text
    assert asked.json()["job"] != job
    beyond = web.post(f"/api/jobs/{job}/ask", json={"question": "Which?", "images": [9]})
    assert (beyond.status_code, beyond.json()["field"]) == (422, "images")


def test_an_estimate_is_the_object_of_the_command(web: TestClient, photos: Path) -> None:
    done = web.post("/api/estimate", json={"images": [str(photos)], "ask": "What?"})
    assert (done.json()["usable"], done.json()["requests"]) == (3, 1)
    assert done.json()["cost"] > 0


def test_more_submissions_than_can_be_planned_are_told_to_come_again(
    web: TestClient, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("overstory.api.submissions.WAITING_MAX", 0)
    done = web.post("/api/jobs", json={"images": [str(photos)], "ask": "What?"})
    assert (done.status_code, done.headers["Retry-After"]) == (429, "5")


def test_events_are_streamed_and_go_on_after_the_last_one_seen(
    web: TestClient, own: Database
) -> None:
    job = finished(own)
    text = web.get(f"/api/jobs/{job}/events").text
    events = events_of(text)
    assert events[-1] == (None, "end", {})
    names = [name for _, name, _ in events]
    assert (names[0], names[-2]) == ("job.running", "job.completed")
    assert names.count("image.included") == 2
    ids = [number for number, _, _ in events[:-1]]
    assert ids == sorted(set(filter(None, ids)))
    later = web.get(f"/api/jobs/{job}/events", headers={"Last-Event-ID": str(ids[2])}).text
    assert events_of(later) == events[3:]
    wrong = web.get(f"/api/jobs/{job}/events", headers={"Last-Event-ID": "x"})
    assert (wrong.status_code, wrong.json()["field"]) == (422, "last-event-id")


def test_the_service_says_whether_anybody_works(web: TestClient) -> None:
    told = web.get("/api/health").json()
    assert told["ok"] is True
    assert "none answers" in told["trouble"]


def test_every_route_is_described(web: TestClient) -> None:
    described = web.get("/openapi.json").json()
    assert described["openapi"].startswith("3.1")
    for path in ("/api/jobs", "/api/jobs/{job}/events", "/api/estimate"):
        assert path in described["paths"]
        assert path in web.get("/docs").text
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            assert operation.get("description") or operation.get("summary"), (method, path)
    assert "://" not in web.get("/docs").text.replace("http://127.0.0.1", "")


def test_a_state_has_the_counts_without_the_images(web: TestClient, own: Database) -> None:
    job = jobs.submit(own, [2], duplicates=1)
    state = web.get(f"/api/jobs/{job}/status").json()
    assert state["coverage"]["submitted"] == 3
    assert (state["job"], state["status"], state["over"]) == (job, "running", False)
    jobs.finish_all(own, jobs.upload_all(own, job))
    state = web.get(f"/api/jobs/{job}/status").json()
    assert (state["status"], state["over"], state["coverage"]["included"]) == ("completed", True, 2)
    assert web.get("/api/jobs/nothing/status").status_code == 404
