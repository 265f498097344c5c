"""What a person is told who would change the course of a job."""

from __future__ import annotations

from models.engine import Database
from tests.support import jobs, shell


def test_there_is_nothing_to_resume_of_a_completed_job(own: Database) -> None:
    job = jobs.submit(own)
    jobs.finish_all(own, jobs.upload_all(own, job))
    said = shell.say("resume", job)
    assert (said.returncode, said.stdout) == (2, "")
    assert said.stderr == f"overstory: job {job} is completed: there is nothing to resume\n"
