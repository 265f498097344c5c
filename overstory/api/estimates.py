"""What a job will cost, over HTTP, before anything is sent."""

from __future__ import annotations

from threading import BoundedSemaphore
from typing import Any

from fastapi import APIRouter

from core.jobs import JobSpec
from overstory.api.caller import Calling
from overstory.api.problems import PROBLEMS, TooBusy
from overstory.api.submissions import with_own_uploads
from overstory.commands.estimate import Forecasting
from tasks.runtime.services import Services

AT_ONCE = 2
"""Each reads the headers of a whole set with several threads."""


def estimates(services: Services) -> APIRouter:
    routes = APIRouter(prefix="/api", tags=["jobs"], responses=PROBLEMS)
    reading = BoundedSemaphore(AT_ONCE)

    @routes.post("/estimate")
    def estimate(spec: JobSpec, caller: Calling) -> dict[str, Any]:
        """Estimate a job's requests, tokens, cost, budget and time: the object of
        `overstory estimate --json`. The fields are those of a submission. Sends no image."""
        if not reading.acquire(blocking=False):
            raise TooBusy
        try:
            settings = services.settings
            own = with_own_uploads(spec, caller)
            return Forecasting(settings, own, settings.submitted_inputs).value
        finally:
            reading.release()

    return routes
