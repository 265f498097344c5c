"""The service of docker-compose.yml, started as local processes without a Docker engine.

The file gives each service's exact command, environment and health check. The test replaces only
what containers replace too: host names, ports, volume folders, and the two vendors' servers (by the
same programs from wheels). It also replaces their image's entry point, which makes the database and
its user, and valkey-cli, which is in no wheel.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx2
import pytest
from celery import Celery
from celery.result import AsyncResult

from tests.support import compose
from tests.support.service import HEALTHY_SECONDS, LIMITS, WORKERS, Stack, until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    folder = Path(tempfile.mkdtemp(prefix="overstory-service-"))
    folder.chmod(0o755)  # as root, PostgreSQL runs as another user
    made = Stack(folder)
    try:
        made.start_valkey()
        made.start_postgres()
        made.start("sandbox")
        made.wait_healthy("valkey", "postgres")
        made.make_database()
        made.start("migrate")
        assert made.processes.pop("migrate").wait(HEALTHY_SECONDS) == 0, made.log("migrate")
        for name in (*WORKERS, "reconciler", "flower", "api"):
            made.start(name)
        made.wait_healthy("sandbox", *WORKERS, "reconciler", "flower", "api")
        made.sandbox("config", {**LIMITS, "cache_blocks": 0})
        yield made
    finally:
        made.close()
        shutil.rmtree(folder)


@pytest.fixture
def plain(stack: Stack) -> Iterator[Celery]:
    """An app that knows only the broker."""
    app = Celery("shop", broker=stack.broker_url, backend=stack.broker_url)
    yield app
    app.close()


def ended(stack: Stack, job: str) -> tuple[str, int, int, str]:
    """The job's row after its end, read with SQL."""
    asked = "SELECT status, submitted, included, answer FROM jobs WHERE id = %s"
    rows: list[tuple[str, int, int, str]] = []

    def is_there() -> bool:
        with stack.connect() as connection:
            rows[:] = connection.execute(asked, [job]).fetchall()
        return bool(rows) and rows[0][0] not in ("running", "paused")

    until(is_there, lambda: f"job {job}: {rows}; {stack.log('infer')[-4000:]}")
    return rows[0]


def ready(sent: AsyncResult) -> AsyncResult:
    until(sent.ready, lambda: f"no result for {sent.id}: {sent.state}")
    return sent


def test_a_job_from_another_app_is_answered(stack: Stack, make_images: Callable[..., Path]) -> None:
    folder = make_images(70)
    words = [sys.executable, "-I", "enqueue.py", str(folder), "--ask", "What is there?"]
    done = subprocess.run(
        [*words, "--key", "example"],
        cwd=compose.ROOT / "examples" / "plain_celery_app",
        env={"BROKER_URL": stack.broker_url},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    status, submitted, included, answer = ended(stack, done.stdout.strip())
    assert (status, submitted, included) == ("completed", 70, 70)
    assert answer


def test_the_same_key_is_the_same_job(
    stack: Stack, plain: Celery, make_images: Callable[..., Path]
) -> None:
    given = {"images": [str(make_images(2, start=100))], "ask": "What?", "key": "twice"}
    both = [plain.send_task("overstory.submit", kwargs=given) for _ in range(2)]
    first, second = (ready(sent).result for sent in both)
    assert first == second
    assert ended(stack, first)[0] == "completed"


def test_wrong_arguments_are_refused_by_name(stack: Stack, plain: Celery) -> None:
    sent = plain.send_task("overstory.submit", kwargs={"images": [], "aks": "What?"})
    assert ready(sent).state == "FAILURE"
    for field in ("images", "ask", "aks"):
        assert field in str(sent.result)


def test_the_api_takes_a_token_and_does_the_job_in_this_service(
    stack: Stack, make_images: Callable[..., Path]
) -> None:
    url = f"http://127.0.0.1:{stack.ports['api:8700']}/api/jobs"
    spec = {"images": [str(make_images(3))], "ask": "What is there?"}
    assert httpx2.post(url, json=spec).status_code == 401
    words = [sys.executable, "-m", "overstory", "token", "create", "shop"]
    made = subprocess.run(words, env=stack.environment("api"), capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    own = {"Authorization": f"Bearer {made.stdout.strip()}"}
    answer = httpx2.post(url, json=spec, headers=own)
    assert answer.status_code == 201, answer.text
    assert ended(stack, answer.json()["job"])[:3] == ("completed", 3, 3)
    assert [job["owner"] for job in httpx2.get(url, headers=own).json()] == ["shop"]


def ask_flower(stack: Stack, path: str, password: str | None = None) -> tuple[int, str]:
    request = urllib.request.Request(f"http://127.0.0.1:{stack.ports['flower:5555']}{path}")
    if password:
        user = b64encode(f"overstory:{password}".encode()).decode()
        request.add_header("Authorization", f"Basic {user}")
    try:
        with urllib.request.urlopen(request, timeout=10) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, ""


def test_flower_shows_ids_and_no_questions(
    stack: Stack, plain: Celery, make_images: Callable[..., Path]
) -> None:
    secret = "the-secret-question"
    given = {"images": [str(make_images(2, start=200))], "ask": secret, "key": "shown"}
    job = ready(plain.send_task("overstory.submit", kwargs=given)).result
    ended(stack, job)
    password = stack.values["FLOWER_PASSWORD"]
    assert ask_flower(stack, "/tasks")[0] == 401
    found: list[str] = []

    def shows() -> bool:
        found[:] = [ask_flower(stack, "/api/tasks?limit=1000", password)[1]]
        return "'key': 'shown'" in found[0] and f"job {job}: images 1 to 2: 2 of 2" in found[0]

    until(shows, lambda: found[0])
    assert secret not in found[0]
    assert ask_flower(stack, "/tasks", password)[0] == 200
    assert "flower_events_total" in ask_flower(stack, "/metrics")[1]


TABLE = urlencode(
    {
        "draw": 1,
        "start": 0,
        "length": 1000,
        "order[0][column]": 0,
        "order[0][dir]": "desc",
        "columns[0][data]": "received",
    }
)


def test_flower_shows_why_a_task_failed(stack: Stack, plain: Celery) -> None:
    """In its table, which links to the task's own page, and there."""
    secret = "the-secret-question"
    sent = plain.send_task("overstory.submit", kwargs={"images": 7, "ask": secret})
    assert ready(sent).state == "FAILURE"
    password = stack.values["FLOWER_PASSWORD"]
    rows: list[dict[str, Any]] = []

    def shows() -> bool:
        table = json.loads(ask_flower(stack, f"/tasks/datatable?{TABLE}", password)[1])
        rows[:] = [row for row in table["data"] if row["uuid"] == sent.id]
        return bool(rows) and rows[0]["state"] == "FAILURE"

    until(shows, lambda: str(rows))
    assert "images" in rows[0]["result"]
    assert 'data-column="uuid"' in ask_flower(stack, "/tasks", password)[1]
    status, page = ask_flower(stack, f"/task/{sent.id}", password)
    assert status == 200
    assert "images" in page
    assert "FAILURE" in page
    assert secret not in page + str(rows)


def test_metrics_are_exported(stack: Stack) -> None:
    url = f"http://127.0.0.1:{stack.ports['reconciler:9808']}/metrics"
    with urllib.request.urlopen(url, timeout=10) as reply:
        said = reply.read().decode()
    assert 'overstory_part_up{part="database"} 1.0' in said
    assert 'overstory_part_up{part="broker"} 1.0' in said
    assert 'overstory_jobs{status="completed"}' in said
    assert 'overstory_queue_messages{queue="infer"} 0.0' in said
    assert 'overstory_limiter_wait_seconds_bucket{le="0.0",limit="none"}' in said


def test_logs_are_json_lines(stack: Stack) -> None:
    lines = [line for line in stack.log("reconciler").splitlines() if line.strip()]
    lines += [line for line in stack.log("upload").splitlines() if "job.submitted" in line]
    assert all("event" in json.loads(line) for line in lines)
    assert lines


@pytest.mark.parametrize("name", ["infer", "preprocess", "reconciler", "flower"])
def test_a_service_stops_on_sigterm(stack: Stack, name: str) -> None:
    assert stack.stop(name) == 0, stack.log(name)
    stack.start(name)
    stack.wait_healthy(name)


def test_a_worker_that_just_passed_a_task_to_a_child_stops_soon(
    stack: Stack, plain: Celery, make_images: Callable[..., Path]
) -> None:
    """If it is stopped before it hears that a child began, it no longer reads the child's result.
    The child must not wait for that (Celery waits half a minute)."""
    given = {"images": [str(make_images(2, folder="handed-on", start=900))], "ask": "What?"}
    said = len(stack.log("preprocess"))
    until(lambda: len(stack.children("preprocess")) == 2, lambda: "a pool of two")
    children = stack.children("preprocess")
    for child in children:
        child.suspend()
    job = ready(plain.send_task("overstory.submit", kwargs=given)).result
    until(lambda: "received" in stack.log("preprocess")[said:], lambda: stack.log("preprocess"))

    def go_on() -> None:
        until(lambda: "Warm shutdown" in stack.log("preprocess")[said:], lambda: "it goes on")
        for child in children:
            child.resume()

    assert stack.stop("preprocess", go_on) == 0, stack.log("preprocess")
    stack.start("preprocess")
    stack.wait_healthy("preprocess")
    assert ended(stack, job)[:3] == ("completed", 2, 2)


# --- what issue 6 must show


@pytest.fixture(scope="module")
def scaled(stack: Stack) -> Stack:
    """The service after ``--scale infer=4``."""
    more = [f"infer-{n}" for n in (2, 3, 4)]
    for name in more:
        stack.start(name)
    stack.wait_healthy(*more)
    return stack


@pytest.fixture
def four(scaled: Stack) -> Iterator[Stack]:
    """Four infer workers, and a sandbox with counts at zero."""
    scaled.sandbox("reset", {})
    yield scaled
    scaled.sandbox("config", {"latency_seconds": 0.0})


LOOK = {
    "images": "SELECT position, name, status, sha256, tokens FROM images WHERE job_id = '{job}'",
    "nodes": "SELECT kind, first_position, last_position, key, images FROM nodes"
    " WHERE job_id = '{job}' AND status = 'done'",
    "calls": "SELECT key, status, images, prompt_tokens, completion_tokens, cost FROM calls"
    " WHERE job_id = '{job}'",
    "answer": "SELECT status, included, answer FROM jobs WHERE id = '{job}'",
}


def test_a_job_is_the_same_embedded_and_in_the_service(
    four: Stack, plain: Celery, make_images: Callable[..., Path], home: Path
) -> None:
    folder = str(make_images(190, start=300))
    words = [sys.executable, "-m", "overstory", "run", folder, "--ask", "What stands out?"]
    settings = {
        "OVERSTORY_HOME": str(home),
        "OVERSTORY_API_KEY": "another-account",
        "OVERSTORY_BASE_URL": four.environment("infer")["OVERSTORY_BASE_URL"],
        **{f"OVERSTORY_{name.upper()}": str(most) for name, most in LIMITS.items()},
    }
    done = subprocess.run(
        [*words, "--json"], env=os.environ | settings, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    embedded = json.loads(done.stdout)["job"]

    four.sandbox("config", {"latency_seconds": 0.5})  # long enough for all four to take part
    given = {"images": [folder], "ask": "What stands out?", "key": "the same"}
    served = ready(plain.send_task("overstory.submit", kwargs=given)).result
    assert ended(four, served)[:3] == ("completed", 190, 190)

    with closing(sqlite3.connect(home / "overstory.db")) as lite, four.connect() as postgres:
        for what, query in LOOK.items():
            ours = sorted(lite.execute(query.format(job=embedded)).fetchall())
            theirs = sorted(postgres.execute(query.format(job=served).encode()).fetchall())
            assert ours == theirs, what
            assert ours, what
    stats = four.sandbox("stats")
    assert stats["paid"] == 2 * 5  # four leaves and the root, by two accounts
    assert stats["replies"] == {"200": 10}


PRODUCER = """\
import sys, time
from celery import Celery
broker, folder, first = sys.argv[1], sys.argv[2], int(sys.argv[3])
app = Celery("shop", broker=broker, backend=broker)
sent = {}
for n in range(first, first + 40):
    images = [f"{folder}/{2 * n + i:04}.jpg" for i in range(2)]
    given = {"images": images, "ask": "How many?", "key": f"bulk-{n}", "label": "bulk"}
    sent[n] = app.send_task("overstory.submit", kwargs=given, kwargsrepr=repr({"key": n}))
for n, result in sent.items():
    while not result.ready():
        time.sleep(0.02)
    print(n, result.result)
"""


def test_a_hundred_jobs_from_four_producers_at_once_are_each_done_once(
    four: Stack, make_images: Callable[..., Path]
) -> None:
    folder = make_images(200, folder="bulk")
    producers = [
        subprocess.Popen(
            [sys.executable, "-I", "-c", PRODUCER, four.broker_url, str(folder), str(first)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for first in (0, 20, 40, 60)  # another producer also sends half of each one's keys
    ]
    said = [producer.communicate(timeout=HEALTHY_SECONDS)[0] for producer in producers]
    assert [producer.returncode for producer in producers] == [0] * 4
    told = {tuple(line.split()) for text in said for line in text.splitlines()}
    assert len(told) == 100  # the same key is the same job for every sender
    assert sum(len(text.splitlines()) for text in said) == 160

    count = "SELECT count(*) FROM jobs WHERE label = 'bulk' AND status = 'completed'"
    until(lambda: _asked(four, count) == [(100,)], lambda: str(_asked(four, count)))
    assert _asked(four, "SELECT count(*) FROM jobs WHERE label = 'bulk'") == [(100,)]
    ends = "SELECT count(*), count(DISTINCT job_id) FROM events JOIN jobs ON jobs.id = job_id"
    ends += " WHERE label = 'bulk' AND name = 'job.completed'"
    assert _asked(four, ends) == [(100, 100)]
    stats = four.sandbox("stats")
    assert (stats["paid"], stats["repeated_paid"]) == (100, 0)


def test_a_rolling_restart_under_load_fails_nothing_and_pays_nothing_twice(
    four: Stack, plain: Celery, make_images: Callable[..., Path]
) -> None:
    folder = make_images(32, folder="rolling", start=1_000)
    four.sandbox("config", {"latency_seconds": 2.0})
    sent = []
    in_flight = []
    for round_, name in enumerate(WORKERS):
        for n in range(4):
            first = 1_000 + (4 * round_ + n) * 2
            images = [str(folder / f"{first + i:04}.jpg") for i in range(2)]
            given = {"images": images, "ask": "What?", "key": f"rolling-{first}"}
            sent.append(plain.send_task("overstory.submit", kwargs=given))
        in_flight.append(
            until(lambda: four.sandbox("stats")["in_flight"], lambda: four.log("infer"))
        )
        assert four.stop(name) == 0, four.log(name)
        four.start(name)
    jobs = [ready(task).result for task in sent]
    four.wait_healthy(*WORKERS)
    assert {ended(four, job)[:3] for job in jobs} == {("completed", 2, 2)}
    stats = four.sandbox("stats")
    assert (stats["paid"], stats["repeated_paid"], stats["abandoned"]) == (len(jobs), 0, 0)
    lost = "SELECT count(*) FROM calls WHERE status IN ('unknown', 'failed')"
    assert _asked(four, lost) == [(0,)]
    assert sum(in_flight) >= len(WORKERS)


def _asked(stack: Stack, query: str) -> list[tuple[object, ...]]:
    with stack.connect() as connection:
        return connection.execute(query.encode()).fetchall()
