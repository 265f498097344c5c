"""The HTTP service as an ASGI app."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.responses import HTMLResponse

from overstory import __version__
from overstory.api.bodies import Writers
from overstory.api.guard import Guard
from overstory.api.jobs import Jobs
from overstory.api.pages import page_routes
from overstory.api.problems import handle_problems
from overstory.api.reference import reference_page
from overstory.api.submissions import Submissions
from overstory.api.uploads import Uploading
from overstory.local.hindrances import nobody_works
from tasks.runtime.services import Services

DESCRIPTION = (
    "Questions about image sets of any size. Errors are problem details (RFC 9457) that name the"
    " field. A job is submitted, watched by its events, and read with the proof of every answer."
)


def make_api(services: Services) -> FastAPI:
    """The app over ``services``, which its caller closes."""
    app = FastAPI(
        title="Overstory",
        version=__version__,
        description=DESCRIPTION,
        docs_url=None,  # FastAPI's pages load their scripts from another site
        redoc_url=None,
    )
    submissions = Submissions(services)
    writers = Writers()
    app.include_router(Jobs(services, submissions, writers).router())
    app.include_router(Uploading(services, writers).router())
    app.include_router(page_routes(services))

    @app.get("/api/health", tags=["service"])
    def health() -> dict[str, Any]:
        """Whether the service answers; `trouble` says what keeps its jobs from going on."""
        with services.database.read():
            trouble = nobody_works(services.settings)
        return {"ok": True, "version": __version__, "trouble": trouble or None}

    @app.get("/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        return HTMLResponse(reference_page(app.openapi()))

    handle_problems(app)
    app.add_middleware(Guard)
    return app
