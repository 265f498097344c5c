"""Messages of the commands that control a job."""

from __future__ import annotations

from pathlib import Path

import click

from models.engine import Database
from overstory.job_argument import named_jobs
from overstory.job_names import complete_job
from tests.support import jobs, shell


def test_a_completed_job_has_nothing_to_resume(own: Database) -> None:
    job = jobs.submit(own)
    jobs.finish_all(own, jobs.upload_all(own, job))
    said = shell.say("resume", job)
    assert (said.returncode, said.stdout) == (2, "")
    assert said.stderr == f"overstory: job {job} is completed: there is nothing to resume\n"


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
