"""Messages of the commands that control a job."""

from __future__ import annotations

from models.engine import Database
from tests.support import jobs, shell


def test_a_completed_job_has_nothing_to_resume(own: Database) -> None:
    job = jobs.submit(own)
    jobs.finish_all(own, jobs.upload_all(own, job))
    said = shell.say("resume", job)
    assert (said.returncode, said.stdout) == (2, "")
    assert said.stderr == f"overstory: job {job} is completed: there is nothing to resume\n"
