"""The sender of a request, and the jobs that it may see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from core.access import LOCAL
from models.engine import Database
from models.reads import pipeline
from models.reads.pipeline import JobRow
from overstory.api.problems import NeedsToken, NoSuchJob, NotAllowed


@dataclass(frozen=True, slots=True)
class Caller:
    """``name``: of the token; None: a person of this machine, without one. An admin sees all jobs;
    a caller that may only read changes and submits nothing."""

    name: str | None = None
    is_admin: bool = True
    read_only: bool = False

    @property
    def owner(self) -> str:
        """The name under which uploads are kept."""
        return self.name or LOCAL

    def check_changes(self) -> None:
        """Raises NotAllowed for a caller that may only read."""
        if self.read_only:
            raise NotAllowed(f"the token {self.name!r} may only read: use one that may change jobs")


def caller_of(request: Request) -> Caller | None:
    """The caller whom the guard has let in; None for a visitor without a token."""
    return getattr(request.state, "caller", None)


def known_caller(request: Request) -> Caller:
    """The caller. Raises NeedsToken for a visitor without a token."""
    caller = caller_of(request)
    if caller is None:
        raise NeedsToken
    return caller


Calling = Annotated[Caller, Depends(known_caller)]
"""The caller, as a parameter of a route; 401 for a visitor without a token."""


def find_job(database: Database, job: str, caller: Caller, changes: bool = False) -> JobRow:
    """The job, if the caller may see it. ``changes``: the caller wants to change it. Raises
    NoSuchJob, also for a job of somebody else, and NotAllowed for a change by a token that may only
    read."""
    with database.read() as connection:
        row = pipeline.job(connection, job)
    if row is None or not (caller.is_admin or row.owner == caller.name):
        raise NoSuchJob(f"there is no job {job!r}")
    if changes:
        caller.check_changes()
    return row
