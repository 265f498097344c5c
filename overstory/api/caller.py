"""Who sends a request, and which jobs they may see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from models.engine import Database
from models.reads import pipeline
from models.reads.pipeline import JobRow
from overstory.api.problems import NoSuchJob


@dataclass(frozen=True, slots=True)
class Caller:
    """``name``: of the token; None: a person of this machine, without one."""

    name: str | None = None
    is_admin: bool = True
    read_only: bool = False

    @property
    def owner(self) -> str:
        """The name under which uploads are kept."""
        return self.name or LOCAL


LOCAL = "local"
"""The owner of what came without a token. No token has this name."""


def _caller_of(request: Request) -> Caller:
    return getattr(request.state, "caller", Caller())


Calling = Annotated[Caller, Depends(_caller_of)]
"""The caller, as a parameter of a route."""


def find_job(database: Database, job: str, caller: Caller, changes: bool = False) -> JobRow:
    """The job, if the caller may see it. ``changes``: the caller wants to change it. Raises
    NoSuchJob, also for a job of somebody else."""
    with database.read() as connection:
        row = pipeline.job(connection, job)
    if row is None:
        raise NoSuchJob(f"there is no job {job!r}")
    return row
