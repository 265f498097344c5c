"""Links to the report of one job, for people without a token: read only, and for some days."""

from __future__ import annotations

import secrets
from html import escape
from http import HTTPStatus
from importlib import resources
from typing import Annotated

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Body, Request
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ConfigDict, Field

from core.access import SECRET_BYTES, hashed, secret_of
from models import tokens
from overstory.api.caller import Caller, Calling, find_job
from overstory.api.problems import PROBLEMS
from overstory.report.command import report_text
from tasks.runtime.services import Services

DAY = 86_400.0
DRAWN_AT_ONCE = 2
"""Everybody with a link may ask, and a report of thousands of images takes a core for seconds."""
NOT_FOUND = "This link leads nowhere", "It may be cut off, or its owner has withdrawn it."
EXPIRED = "This link has expired", "Ask the person who sent it for a new one."


class Sharing(BaseModel):
    """How long a link holds."""

    model_config = ConfigDict(extra="forbid")
    days: Annotated[int, Field(ge=1, le=365)] = 7


class Shared(BaseModel):
    """A link. It is shown only now; ``expires_at``: Unix time."""

    url: str
    expires_at: float


class Withdrawn(BaseModel):
    """``links``: how many links to the job's report led there until now."""

    job: str
    links: int


class Shares:
    """``/api/jobs/{job}/share`` and ``/shared/{secret}``."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._database = services.database
        self._drawing = CapacityLimiter(DRAWN_AT_ONCE)

    def router(self) -> APIRouter:
        routes = APIRouter(tags=["jobs"], responses=PROBLEMS)
        routes.post("/api/jobs/{job}/share", status_code=HTTPStatus.CREATED)(self.share)
        routes.delete("/api/jobs/{job}/share")(self.withdraw)
        routes.get("/shared/{secret}", include_in_schema=False)(self.show)
        return routes

    def share(
        self,
        job: str,
        caller: Calling,
        request: Request,
        given: Annotated[Sharing | None, Body()] = None,
    ) -> Shared:
        """Make a link to a job's report: read only, for some days, without a token."""
        row = find_job(self._database, job, caller, changes=True)
        secret = secret_of(secrets.token_bytes(SECRET_BYTES))
        seconds = (given or Sharing()).days * DAY
        with self._database.write() as connection:
            expires_at = tokens.open_share(connection, row.id, hashed(secret), seconds)
        return Shared(url=f"{_site(request)}/shared/{secret}", expires_at=expires_at)

    def withdraw(self, job: str, caller: Calling) -> Withdrawn:
        """Withdraw all links to a job's report."""
        row = find_job(self._database, job, caller, changes=True)
        with self._database.write() as connection:
            return Withdrawn(job=row.id, links=tokens.close_shares(connection, row.id))

    async def show(self, secret: str) -> HTMLResponse:
        """The report behind a link, and nothing else."""
        return await to_thread.run_sync(self._show, secret, limiter=self._drawing)

    def _show(self, secret: str) -> HTMLResponse:
        with self._database.read() as connection:
            share = tokens.share(connection, hashed(secret))
        if share is None:
            return _told(HTTPStatus.NOT_FOUND, *NOT_FOUND)
        if share.seconds <= 0.0:
            return _told(HTTPStatus.GONE, *EXPIRED)
        row = find_job(self._database, share.job_id, Caller())
        text = report_text(self._services.settings, self._database, row)
        return HTMLResponse(text, headers=UNLISTED)


UNLISTED = {"X-Robots-Tag": "noindex, nofollow", "Referrer-Policy": "no-referrer"}


def _site(request: Request) -> str:
    """How the caller reaches this service: a browser's page knows, and so does a proxy that adds
    TLS. The guard has checked the host."""
    if origin := request.headers.get("origin"):
        return origin
    told = request.headers.get("x-forwarded-proto", "")
    scheme = told if told in ("http", "https") else request.url.scheme
    return f"{scheme}://{request.headers['host']}"


def _told(status: HTTPStatus, title: str, text: str) -> HTMLResponse:
    style = resources.files("overstory.report").joinpath("report.css").read_text("utf-8")
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{style}"
        "main { max-width: 34rem; margin: 18vh auto; padding: 0 1.5rem }"
        "p { margin-top: .8rem }</style>"
        f"<main><h1>{escape(title)}</h1><p>{escape(text)}</p></main></html>"
    )
    return HTMLResponse(page, status, UNLISTED)
