"""The account as a user sees it: limits under kills, an empty balance, the file store."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from clients.provider.client import Provider
from core.catalog.tiers import tier
from core.settings import load
from tests.support.command import Endpoint, Person
from tests.support.faults.account import check_limits, kills, prefill
from tests.support.faults.scene import Bench, Plan, scene
from tests.support.faults.servers import Postgres
from tests.support.pictures import draw_image
from tests.support.waiting import eventually

pytestmark = pytest.mark.acceptance

WINDOW_SECONDS = 8.0


def test_killed_workers_and_a_restarted_broker_pass_no_limit(tmp_path):
    plan = Plan(
        limits=tier("b:V0"),
        images_per_request=1,
        infer_processes=2,
        latency_seconds=0.1,
        sandbox={"window_seconds": WINDOW_SECONDS},
        settings={"limit_window_seconds": WINDOW_SECONDS, "context_tokens": None},
    )
    bench = Bench(tmp_path, Postgres(tmp_path / "postgres"), seed=1, short=True)
    with scene(bench, plan, "V0", "V0, brief") as stage:
        prefill(stage, size=1, calls=300)
        eventually(lambda: stage.endpoint.stats()["calls"] > 20)
        kills(stage, WINDOW_SECONDS)
        before = stage.endpoint.stats()["calls"]
        eventually(lambda: stage.endpoint.stats()["calls"] > before + 10)
        check_limits(stage)
        assert stage.figures.kills >= 2
        assert stage.figures.broken == []


def test_an_empty_balance_is_shown_and_the_run_continues_by_itself(
    person: Person, endpoint: Endpoint, make_images
):
    person.settings |= {"OVERSTORY_CONCURRENCY": "1", "OVERSTORY_IMAGES_PER_REQUEST": "6"}
    endpoint.process.configure(hold=True)
    process = person.start(make_images(24), "--json")
    eventually(endpoint.in_flight)
    endpoint.process.configure(no_balance=True, hold=False)
    eventually(lambda: overstory(person, "account", "--json")["state"]["paused"] == "no balance")
    until_line(process, "paused: no balance")
    endpoint.process.configure(no_balance=False)
    ran = person.wait(process)
    assert ran.result["status"] == "completed"
    assert ran.result["coverage"]["included"] == 24
    assert endpoint.stats()["repeated_paid"] == 0


def test_a_refused_key_ends_the_run_with_what_to_check(
    person: Person, endpoint: Endpoint, make_images
):
    endpoint.process.configure(refuse_keys=True)
    ran = person.run(make_images(2))
    assert ran.status == 1
    assert "OVERSTORY_API_KEY" in ran.err
    assert endpoint.key not in ran.err


def test_kept_files_are_listed_reused_and_collected(
    person: Person, endpoint: Endpoint, make_images
):
    photos = make_images(3)
    person.run(photos, "--keep-files", ask="What is there?")
    person.run(photos, "--keep-files", ask="What is missing?")
    assert endpoint.stats()["uploads"] == 3
    listed = overstory(person, "files", "list", "--json")
    assert len(listed["files"]) == 3
    assert listed["quota"] == 1000
    orphan = draw_image(photos / "orphan.jpg", 40).read_bytes()
    provider = Provider(load(api_key=endpoint.key, base_url=endpoint.process.base_url))
    provider.upload("somebody-else.jpg", orphan, "image/jpeg")
    provider.delete_file(listed["files"][0]["file_id"])
    said = overstory(person, "files", "gc")
    assert "forgot 1" in said
    assert "kept 1 file of others" in said
    assert len(overstory(person, "files", "list", "--json")["files"]) == 2
    provider.close()


def test_two_accounts_share_only_a_state_folder(
    person: Person, endpoint: Endpoint, make_images, home: Path, tmp_path: Path
):
    person.settings["OVERSTORY_STORE"] = "always"
    other = Person(home, tmp_path, **person.settings | {"OVERSTORY_API_KEY": "another-key"})
    running = [
        person.start(make_images(12), "--json", ask="One?"),
        other.start(make_images(12), "--json", ask="Two?"),
    ]
    results = [person.wait(process).result for process in running]
    assert [result["coverage"]["included"] for result in results] == [12, 12]
    accounts = endpoint.stats()["accounts"].values()
    assert [account["distinct_uploads"] for account in accounts if account["uploads"]] == [12, 12]


def until_line(process: subprocess.Popen[str], words: str) -> None:
    """Read what the command writes to stderr up to the first line with ``words`` in it."""
    assert process.stderr is not None
    assert any(words in line for line in process.stderr)


def overstory(person: Person, *words: str):
    """The output of another overstory command: its JSON, or its text."""
    ran = subprocess.run(
        [Path(sys.executable).with_name("overstory"), *words],
        env=person.environment,
        cwd=person.folder,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout) if "--json" in words else ran.stdout
