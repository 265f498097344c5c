"""What a job will cost, over HTTP, before anything is sent."""

from __future__ import annotations

from threading import BoundedSemaphore
from typing import Any

from fastapi import APIRouter

from core.jobs import JobSpec
from overstory.api.caller import Caller, Calling
from overstory.api.problems import PROBLEMS, TooBusy
from overstory.api.submissions import with_own_uploads
from overstory.commands.estimate import Forecasting
from tasks.runtime.services import Services

AT_ONCE = 2
"""Each reads the headers of a whole set with several threads."""


class Estimates:
    """Estimates for callers of the service."""

    def __init__(self, services: Services) -> None:
        self._settings = services.settings
        self._reading = BoundedSemaphore(AT_ONCE)

    def router(self) -> APIRouter:
        routes = APIRouter(prefix="/api", tags=["jobs"], responses=PROBLEMS)
        routes.post("/estimate")(self.estimate)
        return routes

    def estimate(self, spec: JobSpec, caller: Calling) -> dict[str, Any]:
        """Estimate a job's requests, tokens, cost, budget and time: the object of
        `overstory estimate --json`. The fields are those of a submission. Sends no image."""
        return self.of(spec, caller)

    def of(self, spec: JobSpec, caller: Caller) -> dict[str, Any]:
        """The object of ``overstory estimate --json``. Raises WrongUsage, TooBusy."""
        if not self._reading.acquire(blocking=False):
            raise TooBusy
        try:
            own = with_own_uploads(spec, caller)
            return Forecasting(self._settings, own, self._settings.submitted_inputs).value
        finally:
            self._reading.release()
