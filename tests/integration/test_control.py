"""Messages of the commands that control a job."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest

from core.errors import WrongUsage
from core.settings import load
from models.engine import Database
from overstory.job_argument import named_jobs
from overstory.job_names import complete_job
from overstory.local.preflight import check_sandbox_is_wanted
from tests.support import jobs, shell


def test_a_completed_job_has_nothing_to_resume(own: Database) -> None:
    job = jobs.submit(own)
    jobs.finish_all(own, jobs.upload_all(own, job))
    said = shell.say("resume", job)
    assert (said.returncode, said.stdout) == (2, "")
    assert said.stderr == f"overstory: job {job} is completed: there is nothing to resume\n"


def test_json_says_that_nobody_works_on_a_running_job(own: Database) -> None:
    job = jobs.submit(own)
    waits = json.loads(shell.say("show", job, "--json").stdout)["waits"]
    assert waits.startswith("waits for workers: none answers")
    jobs.finish_all(own, jobs.upload_all(own, job))
    assert json.loads(shell.say("show", job, "--json").stdout)["waits"] is None


def test_an_estimate_says_what_a_job_would_leave_out(own: Database, make_images) -> None:
    photos = make_images(2)
    (photos / "notes.txt").write_text("no image")
    (photos / "@eaDir").mkdir()
    said = shell.say("estimate", str(photos), "--ask", "?", "--json")
    assert said.stderr == ""
    counts = json.loads(said.stdout)
    assert (counts["images"], counts["ignored"], counts["passed_over"]) == (2, 1, 1)
    said = shell.say("estimate", str(photos), "--ask", "?")
    assert "skipped 1 file that is not an image (notes.txt)" in said.stderr
    assert "skipped 1 folder or file of systems and photo programs (@eaDir" in said.stderr


def test_a_job_is_named_by_last_by_its_start_or_nearly(own: Database) -> None:
    assert "there is no job yet: 'overstory run'" in shell.say("show", "last").stderr
    jobs.submit(own)
    newest = jobs.submit(own)
    for name in ("last", newest):
        assert f"job {newest} " in shell.say("pause", name).stdout
    wrong = f"{newest}x"
    assert f"there is no job {wrong!r}. Did you mean {newest}?" in shell.say("show", wrong).stderr
    assert "there is no job 'zzz': 'overstory jobs'" in shell.say("show", "zzz").stderr
    assert "several jobs start with 'job'" in shell.say("show", "job").stderr


def test_the_shell_completes_jobs(own: Database, home: Path) -> None:
    first, newest = jobs.submit(own), jobs.submit(own)
    context = click.Context(click.Command("show"))
    parameter = click.Argument(["job"])
    names = [item.value for item in complete_job(context, parameter, "")]
    assert names == ["last", newest, first]
    assert [item.value for item in complete_job(context, parameter, first)] == [first]
    assert [name for name, _ in named_jobs(None, "")] == [newest, first]
    (home / "overstory.db").write_text("no database")
    assert [item.value for item in complete_job(context, parameter, "")] == ["last"]


@pytest.mark.parametrize(
    "words",
    [
        ("run", ".", "--ask", "What?"),
        ("ask", "last", "What?"),
        ("add", "last", "."),
        ("remove", "last", "1"),
        ("watch-folder", ".", "--ask", "What?"),
        ("resume", "last"),
        ("retry", "last"),
        ("up",),
        ("up", "--detach"),
    ],
)
def test_off_a_terminal_the_sandbox_must_be_asked_for(
    own: Database, words: tuple[str, ...]
) -> None:
    jobs.submit(own)
    said = shell.say(*words)
    assert (said.returncode, said.stdout) == (2, "")
    [line] = said.stderr.splitlines()
    assert "set OVERSTORY_API_KEY" in line
    assert "--sandbox" in line


def test_on_a_terminal_or_when_asked_for_the_sandbox_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(WrongUsage):
        check_sandbox_is_wanted(load())
    check_sandbox_is_wanted(load(api_key="a key"))
    check_sandbox_is_wanted(load(base_url="http://127.0.0.1:8080/v1"))
    wanted = load(sandbox=True, api_key="a key", base_url="http://127.0.0.1:8080/v1")
    assert wanted.uses_sandbox
    check_sandbox_is_wanted(wanted)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    check_sandbox_is_wanted(load())
