"""The HTTP service as an ASGI app."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from starlette.routing import Route

from overstory import __version__
from overstory.api.bodies import Writers
from overstory.api.chat.routes import Chat
from overstory.api.estimates import Estimates
from overstory.api.guard import Guard
from overstory.api.health import Health
from overstory.api.jobs import Jobs
from overstory.api.known_tokens import KnownTokens
from overstory.api.mcp.http import McpEndpoint
from overstory.api.pages import page_routes
from overstory.api.problems import handle_problems
from overstory.api.reference import reference_page
from overstory.api.sessions import Sessions
from overstory.api.shares import Shares
from overstory.api.status import statuses
from overstory.api.submissions import Submissions
from overstory.api.uploads import Uploading
from tasks.runtime.services import Services

DESCRIPTION = (
    "Questions about image sets of any size. Errors are problem details (RFC 9457) that name the"
    " field. A job is submitted, watched by its events, and read with the proof of every answer."
)


def make_api(services: Services, elsewhere: bool = False) -> FastAPI:
    """The app over ``services``, which its caller closes. ``elsewhere``: it listens beyond this
    machine, so every request needs a token."""
    submissions, estimates = Submissions(services), Estimates(services)
    agents = McpEndpoint(services, submissions, estimates)
    app = FastAPI(
        title="Overstory",
        version=__version__,
        description=DESCRIPTION,
        docs_url=None,  # FastAPI's pages load their scripts from another site
        redoc_url=None,
        lifespan=agents.lifespan,
    )
    writers, health = Writers(), Health(services)
    known = KnownTokens(services.database)
    app.include_router(health.router())
    app.include_router(estimates.router())
    app.include_router(Jobs(services, submissions, writers).router())
    app.include_router(Uploading(services, writers).router())
    app.include_router(Chat(services, submissions, writers, health).router())
    app.include_router(Sessions(services.database, known).router())
    app.include_router(Shares(services).router())
    app.include_router(statuses(services))
    app.include_router(page_routes(services))
    app.router.routes.append(Route("/mcp", agents))

    @app.get("/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        return HTMLResponse(reference_page(app.openapi()))

    handle_problems(app)
    app.add_middleware(Guard, settings=services.settings, known=known, elsewhere=elsewhere)
    Guard.describe(app)
    return app
