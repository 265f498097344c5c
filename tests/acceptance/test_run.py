"""``overstory run``: one command, real worker processes, a real endpoint, exact accounting."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from core.text.citations import cited_numbers
from models.engine import Database
from models.reads import pipeline
from tests.support.command import Endpoint, Person, Ran, interrupt
from tests.support.pictures import draw_image
from tests.support.waiting import eventually

pytestmark = pytest.mark.acceptance

CONTRACT = {
    "": {"job", "status", "answer", "coverage", "images", "tree", "usage"},
    "coverage": {"submitted", "included", "failed", "duplicate", "skipped"},
    "tree": {"depth", "nodes", "leaves"},
    "usage": {
        "requests", "prompt_tokens", "cached_tokens", "completion_tokens", "cost", "currency",
    },
}  # fmt: skip
IMAGE_KEYS = {"position", "name", "status", "error"}
EXIT = {"completed": 0, "partial": 3, "failed": 1}


def check(ran: Ran) -> dict:
    """Check the rules that hold for every ended job."""
    result = ran.result
    for part, keys in CONTRACT.items():
        assert keys <= set(result[part] if part else result)
    assert all(set(image) >= IMAGE_KEYS for image in result["images"])
    assert ran.status == EXIT[result["status"]]
    coverage = dict(result["coverage"])
    submitted = coverage.pop("submitted")
    assert sum(coverage.values()) == submitted == len(result["images"])
    assert [image["position"] for image in result["images"]] == list(range(1, submitted + 1))
    for name, number in coverage.items():
        assert number == sum(image["status"] == name for image in result["images"])
    included = {i["position"] for i in result["images"] if i["status"] == "included"}
    assert set(cited_numbers(result["answer"] or "")) <= included
    return result


def check_books(result: dict, endpoint: Endpoint) -> None:
    """Check that every request was paid once and that our count is the endpoint's."""
    seen = endpoint.stats()
    assert seen["repeated_paid"] == 0
    assert seen["refused_429"] == {"concurrency": 0, "rpm": 0, "tpm": 0}
    assert seen["max_images"] <= 60
    assert result["usage"]["requests"] == seen["calls"] == seen["paid"]
    for name in ("prompt_tokens", "cached_tokens", "completion_tokens"):
        assert result["usage"][name] == seen[name]


def statuses(result: dict) -> dict[str, str]:
    return {image["name"]: image["status"] for image in result["images"]}


# --- sets of all sizes


@pytest.mark.parametrize(
    ("number", "tree", "asked"),
    [
        (1, {"depth": 1, "nodes": 1, "leaves": 1}, [1]),
        (60, {"depth": 1, "nodes": 1, "leaves": 1}, [60]),
        (61, {"depth": 2, "nodes": 3, "leaves": 2}, [31, 30, 0]),
        (130, {"depth": 2, "nodes": 4, "leaves": 3}, [44, 43, 43, 0]),
        (400, {"depth": 2, "nodes": 8, "leaves": 7}, [58] + [57] * 6 + [0]),
    ],
)
def test_a_set_is_fully_answered_and_a_second_run_sends_nothing(
    person: Person, endpoint: Endpoint, make_images, number, tree, asked
):
    photos = make_images(number)
    result = check(person.run(photos, "--json"))
    assert result["status"] == "completed"
    assert result["coverage"]["included"] == number
    assert result["tree"] == tree
    assert endpoint.image_counts() == asked
    assert cited_numbers(result["answer"])
    check_books(result, endpoint)
    seen = endpoint.stats()
    assert seen["uploads"] == 0  # what is asked once travels inside its request
    assert person.run(photos, "--json").result == result
    assert endpoint.stats() == seen
    assert person.processes() == []


def test_without_a_key_the_sandbox_answers_and_the_output_says_so(stranger: Person, make_images):
    ran = stranger.run(make_images(3))
    assert ran.status == 0
    assert cited_numbers(ran.out)
    assert "SANDBOX" in ran.err
    assert "3 included" in ran.err
    assert stranger.processes() == []


def test_the_sandbox_that_is_asked_for_answers_although_a_key_is_set(stranger: Person, make_images):
    stranger.settings["OVERSTORY_API_KEY"] = "sk-of-a-real-account"
    ran = stranger.run(make_images(3), "--json", "--sandbox")
    assert ran.status == 0, ran.err
    assert ran.result["sandbox"] is True
    assert "The sandbox was asked for" in ran.err


def test_an_endpoint_without_a_file_store_gets_the_images_inline(
    person: Person, endpoint: Endpoint, make_images
):
    person.settings["OVERSTORY_PROVIDER"] = "openai"
    result = check(person.run(make_images(3), "--json"))
    assert result["coverage"]["included"] == 3
    assert endpoint.image_counts() == [3]
    assert endpoint.stats()["uploads"] == 0
    check_books(result, endpoint)


def test_each_image_is_uploaded_once_where_the_store_is_always_used(
    person: Person, endpoint: Endpoint, make_images
):
    person.settings["OVERSTORY_STORE"] = "always"
    result = check(person.run(make_images(61), "--json"))
    assert result["coverage"]["included"] == 61
    seen = endpoint.stats()
    assert seen["uploads"] == seen["distinct_uploads"] == 61
    check_books(result, endpoint)
    eventually(lambda: endpoint.stats()["files"] == 0)


def test_a_set_above_the_file_quota_continues_inline_and_is_paid_once(
    person: Person, endpoint: Endpoint, make_images
):
    person.settings |= {"OVERSTORY_STORE": "always", "OVERSTORY_INLINE_WHEN_FULL": "true"}
    person.settings["OVERSTORY_FILES_MAX"] = "20"
    endpoint.process.configure(max_files=20)
    photos = make_images(150)
    result = check(person.run(photos, "--json"))
    assert result["coverage"]["included"] == 150
    assert endpoint.image_counts() == [50, 50, 50, 0]
    check_books(result, endpoint)
    eventually(lambda: endpoint.stats()["files"] == 0)
    seen = endpoint.stats()
    assert 15 <= seen["uploads"] == seen["distinct_uploads"] <= 20
    assert person.run(photos, "--json").result == result
    assert endpoint.stats()["paid"] == seen["paid"]


@pytest.mark.parametrize(
    ("most", "message"),
    [
        (5, "At most {most} image(s) may be provided in one prompt."),
        (12, "The amount of images you provided exceeds the model's limitation"),
    ],
)
def test_an_endpoint_that_takes_few_images_in_a_request_answers_the_whole_set(
    person: Person, endpoint: Endpoint, make_images, most, message
):
    endpoint.process.configure(max_images=most, too_many_images_message=message)
    photos = make_images(90)
    result = check(person.run(photos, "--json"))
    assert (result["status"], result["coverage"]["included"]) == ("completed", 90)
    refused = endpoint.stats()["replies"]["400"]
    assert 1 <= refused <= 8
    result = check(person.run(photos, "--json", ask="Which are the darkest?"))
    assert result["coverage"]["included"] == 90
    assert endpoint.stats()["replies"]["400"] == refused
    assert f"takes at most {most} images" in person.say("account").out or most == 12


# --- inputs


def test_folders_globs_files_and_duplicates_make_one_set_in_order(
    person: Person, endpoint: Endpoint, make_images, tmp_path
):
    make_images(folder="album", names=["été à la plage.jpg", "sub dir/海と空.png"])
    make_images(folder="globbed", names=["b 10.jpg", "b 2.jpg", "закат (1).webp"], start=10)
    single = draw_image(tmp_path / "одно фото.jpg", 20)
    shutil.copy(single, tmp_path / "globbed" / "b copy.jpg")
    (tmp_path / "album" / "notes.txt").write_text("no image")
    result = check(person.run("album", "globbed/b *.jpg", single, single, "--json"))
    assert statuses(result) == {
        "sub dir/海と空.png": "included",
        "été à la plage.jpg": "included",
        "b 2.jpg": "included",
        "b 10.jpg": "included",
        "b copy.jpg": "included",
        "одно фото.jpg": "duplicate",
    }
    assert result["status"] == "completed"
    assert result["coverage"]["duplicate"] == 2
    assert [i["duplicate_of"] for i in result["images"] if i["duplicate_of"]] == [5, 5]
    assert endpoint.image_counts() == [5]
    check_books(result, endpoint)


@pytest.mark.parametrize(
    ("words", "settings", "sentence"),
    [
        (["empty"], {}, "empty"),
        (["missing.jpg"], {}, "does not exist"),
        (["texts"], {}, "holds no images"),
        (["texts/*.jpg"], {}, "matches no images"),
        (["photo.jpg", "--detail", "huge"], {}, "--detail"),
        (["photo.jpg"], {"OVERSTORY_TIER": "V9"}, "OVERSTORY_TIER"),
        (["photo.jpg"], {"OVERSTORY_RPM": "many"}, "OVERSTORY_RPM"),
        (["photo.jpg"], {"OVERSTORY_DATABASE_URL": "nowhere"}, "OVERSTORY_DATABASE_URL"),
    ],
)
def test_wrong_usage_is_one_sentence_and_status_2(
    stranger: Person, tmp_path, words, settings, sentence
):
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "notes.txt").write_text("no image")
    draw_image(tmp_path / "photo.jpg", 1)
    stranger.settings |= settings
    ran = stranger.run(*words)
    assert ran.status == 2
    assert ran.out == ""
    assert sentence in ran.err
    assert stranger.processes() == []


def spoil(folder: Path) -> dict[str, str]:
    """Files that are not usable images -> words of the reason shown to the user."""
    good = draw_image(folder / "good.jpg", 99).read_bytes()
    (folder / "good.jpg").unlink()
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.jpg").write_text("this is a text")
    (folder / "cut.png").write_bytes(good[: len(good) // 2])
    Image.new("1", (4000, 2)).save(folder / "sliver.png")
    (folder / "dangling.jpg").symlink_to(folder / "nowhere.jpg")
    return {
        "empty.jpg": "empty",
        "text.jpg": "image",
        "cut.png": "",
        "sliver.png": "",
        "dangling.jpg": "no such file",
    }


def test_unusable_files_fail_with_a_reason_and_the_others_are_answered(
    person: Person, endpoint: Endpoint, make_images
):
    photos = make_images(3)
    spoiled = spoil(photos)
    ran = person.run(photos, "--json")
    result = check(ran)
    assert (ran.status, result["status"]) == (3, "partial")
    failed = {i["name"]: i["error"] for i in result["images"] if i["status"] == "failed"}
    assert failed.keys() == spoiled.keys()
    for name, word in spoiled.items():
        assert word in failed[name]
        assert failed[name]
    assert result["coverage"]["included"] == 3
    assert endpoint.image_counts() == [3]
    check_books(result, endpoint)


def test_a_set_without_a_usable_image_fails_and_says_why(
    person: Person, endpoint: Endpoint, tmp_path
):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "text.jpg").write_text("this is a text")
    ran = person.run("photos")
    assert ran.status == 1
    assert ran.out == ""
    assert "text.jpg" in ran.err
    assert endpoint.stats()["calls"] == 0


def test_only_the_image_that_the_provider_refuses_fails(
    person: Person, endpoint: Endpoint, tmp_path
):
    for number in range(8):
        name = f"{number}.png"
        colour = "magenta" if number == 5 else (10, 200 - number, 10)
        (tmp_path / "photos").mkdir(exist_ok=True)
        Image.new("RGB", (40 + number, 30), colour).save(tmp_path / "photos" / name)
    endpoint.process.configure(keyed=[{"match": "colour:pink", "kind": "451"}])
    result = check(person.run("photos", "--json"))
    assert result["status"] == "partial"
    assert [n for n, status in statuses(result).items() if status != "included"] == ["5.png"]
    assert endpoint.stats()["repeated_paid"] == 0


# --- interrupted and killed


def started_and_asked(person: Person, endpoint: Endpoint, *words: object) -> subprocess.Popen[str]:
    """The running command, when its second call is in flight."""
    process = person.start(*words)
    eventually(lambda: endpoint.stats()["paid"] >= 1 and endpoint.in_flight() >= 1)
    return process


def test_ctrl_c_stops_cleanly_and_the_same_command_pays_only_for_the_rest(
    person: Person, endpoint: Endpoint, make_images
):
    photos = make_images(60)
    person.settings |= {"OVERSTORY_CONCURRENCY": "1", "OVERSTORY_IMAGES_PER_REQUEST": "6"}
    endpoint.process.configure(latency_seconds=1.0)
    process = started_and_asked(person, endpoint, photos)
    interrupt(process)
    ran = person.wait(process)
    assert ran.status == 130
    assert ran.out == ""
    assert "run the same command again" in ran.err
    assert person.processes() == []
    before = endpoint.stats()
    assert before["in_flight"] == before["abandoned"] == 0
    assert before["paid"] < 11
    endpoint.process.configure(latency_seconds=0.0)
    result = check(person.run(photos, "--json"))
    assert result["status"] == "completed"
    assert result["tree"] == {"depth": 2, "nodes": 11, "leaves": 10}
    assert endpoint.stats()["paid"] == 11
    check_books(result, endpoint)


@pytest.mark.parametrize("victims", ["the command", "everything"])
def test_a_kill_loses_nothing_and_only_calls_in_flight_are_paid_again(
    person: Person, endpoint: Endpoint, make_images, victims
):
    photos = make_images(24)
    person.settings |= {
        "OVERSTORY_CONCURRENCY": "1",
        "OVERSTORY_IMAGES_PER_REQUEST": "6",
        "OVERSTORY_LEASE_SECONDS": "3",
    }
    endpoint.process.configure(latency_seconds=1.0)
    process = started_and_asked(person, endpoint, photos)
    endpoint.process.configure(hold=True)
    if victims == "everything":
        person.kill_processes()
    process.kill()
    process.wait()
    assert process.returncode == -signal.SIGKILL
    endpoint.process.configure(hold=False, latency_seconds=0.0)
    result = check(person.run(photos, "--json"))
    assert result["status"] == "completed"
    assert result["coverage"]["included"] == 24
    assert endpoint.stats()["distinct_paid"] == 5
    assert endpoint.stats()["repeated_paid"] <= 1
    eventually(lambda: not person.processes())


# --- the workers, seen from outside


def test_workers_are_separate_processes_that_celery_can_inspect(
    person: Person, endpoint: Endpoint, make_images
):
    endpoint.process.configure(hold=True)
    process = person.start(make_images(2), "--json")
    eventually(endpoint.in_flight)
    assert process.pid not in {p.pid for p in person.processes(of="-m workers")}
    active = eventually(lambda: active_tasks(person))
    assert {name.split("-")[0] for name in active} == {"preprocess", "upload", "infer"}
    tasks = [task for tasks in active.values() for task in tasks]
    assert "overstory.infer" in {task["name"] for task in tasks}
    assert process.pid not in {task["worker_pid"] for task in tasks}
    endpoint.process.configure(hold=False)
    assert check(person.wait(process))["status"] == "completed"


def active_tasks(person: Person) -> dict[str, Any] | None:
    """What each worker does, once all three have replied to Celery."""
    asked = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "workers.app", "inspect", "active", "--json"],
        env=person.environment,
        cwd=person.folder,
        capture_output=True,
        text=True,
    )
    active: dict[str, Any] = json.loads(asked.stdout) if asked.returncode == 0 else {}
    return active if len(active) == 3 else None


ANOTHER_APP = """
import json, sys
from celery import Celery

url, images = sys.argv[1], sys.argv[2:]
app = Celery("another", broker=url, backend=url)
spec = {"images": images, "ask": "What is there?", "key": "order-17"}
first = app.send_task("overstory.submit", kwargs=spec).get(timeout=60)
second = app.send_task("overstory.submit", kwargs=spec).get(timeout=60)
try:
    app.send_task("overstory.submit", kwargs={"images": images, "aks": "?"}).get(timeout=60)
except Exception as error:
    refusal = str(error)
ours = [name for name in sys.modules if name.split(".")[0] in ("overstory", "workers", "core")]
print(json.dumps([first, second, refusal, ours]))
"""


def test_another_app_submits_by_the_task_name_alone(
    person: Person, endpoint: Endpoint, make_images, tmp_path
):
    photos = make_images(2)
    person.settings["OVERSTORY_INPUT_ROOTS"] = str(photos)
    endpoint.process.configure(hold=True)
    running = person.start(make_images(1, folder="other", start=50))
    eventually(endpoint.in_flight)
    stack = json.loads((person.home / "run" / "stack.json").read_text())
    asked = subprocess.run(
        [
            sys.executable, "-c", ANOTHER_APP,
            f"redis+socket://{stack['socket']}?virtual_host=0", str(photos),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=150,
    )  # fmt: skip
    assert asked.returncode == 0, asked.stderr
    first, second, refusal, ours = json.loads(asked.stdout)
    assert first == second
    assert "ask" in refusal
    assert "aks" in refusal
    assert ours == []
    eventually(lambda: endpoint.in_flight() == 2)
    endpoint.process.configure(hold=False)
    person.wait(running)
    database = Database(f"sqlite:///{person.home / 'overstory.db'}")
    with database.read() as connection:
        job = pipeline.job(connection, first)
        images = pipeline.images(connection, first)
    database.dispose()
    assert job is not None
    assert (job.submitted, len(images)) == (2, 2)
