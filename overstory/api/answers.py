"""What the page shows of an answer: the report as data, and the price of a further question."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter

from core.errors import WrongUsage
from core.settings import SANDBOX
from overstory.api.caller import Calling, find_job
from overstory.api.jobs import Question
from overstory.api.problems import PROBLEMS
from overstory.report.data import live_data
from tasks import followups
from tasks.runtime.services import Services

NOTHING = {
    "requests": 0,
    "images": 0,
    "prompt_tokens": 0,
    "completion_tokens": 0,
    "cost": 0.0,
    "cost_most": 0.0,
}


def answers(services: Services) -> APIRouter:
    routes = APIRouter(prefix="/api/jobs", tags=["jobs"], responses=PROBLEMS)

    @routes.get("/{job}/report.json", include_in_schema=False)
    def report(job: str, caller: Calling) -> dict[str, Any]:
        """What the report shows, without its pictures. Its form follows the page."""
        row = find_job(services.database, job, caller)
        return live_data(services.database, row, time.time())

    @routes.post("/{job}/ask/estimate")
    def estimate(job: str, given: Question, caller: Calling) -> dict[str, Any]:
        """Estimate a further question: its requests, tokens and cost. `asked`: the same question
        is asked already, so asking again costs nothing. Nothing is written or sent."""
        row = find_job(services.database, job, caller)
        shown = frozenset(given.images)
        if shown and max(shown) > row.submitted:
            raise WrongUsage(f"images: job {row.id} has {row.submitted:,} images")
        ahead = followups.foresee(services, row.id, given.question, shown, given.pack)
        settings = services.settings
        return {
            "asked": ahead is None,
            **(NOTHING if ahead is None else asdict(ahead)),
            "currency": settings.price_of(row.model).currency,
            "priced": settings.find_price(row.model) is not None,
            "sandbox": row.endpoint == SANDBOX,
            "model": row.model,
        }

    return routes
