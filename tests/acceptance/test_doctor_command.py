"""The real doctor command with real services: it shows what is wrong and what to do."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from overstory.sandbox.process import SandboxProcess
from tests.support.command import Endpoint, Person
from tests.support.waiting import eventually

KEY = "sk-a-key-of-the-doctor"


def doctor(*words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "overstory", "doctor", *words],
        env=os.environ | settings,
        capture_output=True,
        text=True,
        timeout=60,
    )


def findings(**settings: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """The exit status and the findings by check."""
    done = doctor("--json", **settings)
    assert done.stderr == ""
    told = json.loads(done.stdout)
    assert told["healthy"] is (done.returncode == 0)
    return done.returncode, {check["name"]: check for check in told["checks"]}


def test_a_fresh_machine_is_healthy_and_is_not_changed(home: Path) -> None:
    done = doctor()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.rstrip().endswith("1 warning, 0 failed")
    assert "the sandbox answers" in done.stdout
    assert "\x1b" not in done.stdout
    assert not home.exists()


def test_a_working_account_passes_every_endpoint_check(sandbox: SandboxProcess) -> None:
    status, found = findings(OVERSTORY_API_KEY=KEY, OVERSTORY_BASE_URL=sandbox.base_url)
    assert status == 0
    levels = {name: found[name]["level"] for name in ("endpoint", "key", "model", "files")}
    assert levels == dict.fromkeys(levels, "ok")
    assert found["balance"]["level"] in ("ok", "warning")


def test_a_probe_shows_what_the_model_sees_and_the_next_run_plans_with_it(
    sandbox: SandboxProcess, home: Path
) -> None:
    reached = {"OVERSTORY_API_KEY": KEY, "OVERSTORY_BASE_URL": sandbox.base_url}
    probed = doctor("--probe", **reached)
    assert (probed.returncode, probed.stderr) == (0, "")
    assert "probing: 5 calls to step-3.7-flash, about 1" in probed.stdout
    assert " USD\n" in probed.stdout
    for said in (
        "reads the word on a picture",
        "on all 12 pictures",
        "arrives whole",
        "1,512 x 1,134",
    ):
        assert said in probed.stdout
    assert "one takes about 171 tokens, estimates count 171" in probed.stdout
    with sqlite3.connect(home / "overstory.db") as database:
        calls = "SELECT status, job_id, images FROM calls ORDER BY id"
        settled = [("settled", None, shown) for shown in (1, 12, 1, 1, 1)]
        assert database.execute(calls).fetchall() == settled
    told = doctor(**reached).stdout
    assert "12 images are seen in one request" in told
    assert "schemas are enforced, replies report tokens" in told
    sandbox.configure(sees_first=1)
    told = json.loads(doctor("--probe", "--json", **reached).stdout)
    checks = {check["name"]: check for check in told["checks"]}
    assert checks["12 images"]["level"] == "warning"
    assert "shows the model 1 of 12 pictures" in checks["12 images"]["says"]
    assert "at most 1 image in one request" in doctor(**reached).stdout
    sandbox.configure(sees_first=None, refuses=["max_tokens", "temperature"])
    reached |= {"OVERSTORY_HOME": str(home / "another")}
    assert "0 warnings, 0 failed" in doctor("--probe", **reached).stdout
    learned = doctor(**reached).stdout
    assert "max_tokens is sent as max_completion_tokens" in learned
    assert "temperature is left out" in learned
    with sqlite3.connect(home / "another" / "overstory.db") as database:
        statuses = [row[0] for row in database.execute("SELECT status FROM calls ORDER BY id")]
    assert statuses == ["refused", "refused", *["settled"] * 5]
    sandbox.configure(refuses=[], blind=True, invents=True)
    blind = doctor("--probe", **reached)
    assert blind.returncode == 1
    assert "does not read the word" in blind.stdout
    assert "OVERSTORY_MODEL" in blind.stdout


@pytest.mark.parametrize(
    ("change", "settings", "check", "word"),
    [
        ({"refuse_keys": True}, {}, "key", "OVERSTORY_API_KEY"),
        ({"outage": True}, {}, "endpoint", "503"),
        ({}, {"OVERSTORY_MODEL": "step-3.7-flsh"}, "model", "step-3.7-flsh"),
        ({}, {"path": "/nowhere"}, "endpoint", "no API at this path"),
    ],
)
def test_different_endpoint_problems_have_different_findings(
    sandbox: SandboxProcess,
    change: dict[str, Any],
    settings: dict[str, str],
    check: str,
    word: str,
) -> None:
    sandbox.configure(**change)
    url = sandbox.base_url.removesuffix("/v1") + settings.pop("path", "/v1")
    status, found = findings(OVERSTORY_API_KEY=KEY, OVERSTORY_BASE_URL=url, **settings)
    assert status == 1
    assert found[check]["level"] == "failed"
    assert word in found[check]["says"]
    assert found[check]["do"]


def test_unavailable_services_are_named_and_no_secret_is_shown() -> None:
    done = doctor(
        OVERSTORY_API_KEY=KEY,
        OVERSTORY_BASE_URL="http://127.0.0.1:9/v1",
        OVERSTORY_BROKER_URL="redis://:hunter22@127.0.0.1:9/0",
        OVERSTORY_DATABASE_URL="postgresql://me:hunter22@127.0.0.1:9/db",
    )
    assert done.returncode == 1
    failures = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("failed")]
    assert failures == ["database", "broker", "endpoint"]
    assert KEY not in done.stdout + done.stderr
    assert "hunter22" not in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_a_typing_error_and_a_wrong_value_are_one_line_each() -> None:
    done = doctor(OVERSTORY_RPM="many", OVERSTORY_TEIR="V1")
    assert done.returncode == 1
    assert "OVERSTORY_RPM" in done.stdout
    assert "did you mean OVERSTORY_TIER?" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_the_stack_of_a_run_is_checked(
    person: Person, endpoint: Endpoint, make_images: Callable[..., Path]
) -> None:
    endpoint.process.configure(hold=True)
    person.start(make_images(2))

    def manned() -> dict[str, dict[str, Any]] | None:
        _, found = findings(**person.settings)
        return found if found.get("workers", {}).get("level") == "ok" else None

    found = eventually(manned)
    assert "is up" in found["broker"]["says"]
    assert "in flight" in found["limits"]["says"]
    assert found["database"]["level"] == "ok"
    assert found["model"]["level"] == "ok"
