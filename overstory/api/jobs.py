"""Jobs over HTTP: submit, look, steer, ask on. Paths and fields are a contract."""

from __future__ import annotations

from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Annotated, Any, Literal

from anyio import to_thread
from fastapi import APIRouter, Body, Header, Query, Response
from fastapi.responses import HTMLResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from core.errors import WrongUsage
from core.jobs import JobSpec
from core.states import ImageStatus, JobStatus
from models import repair, state
from models.reads import inspect, parts
from models.state import Moved
from overstory.api.bodies import Writers
from overstory.api.caller import Caller, Calling, find_job
from overstory.api.events import Events
from overstory.api.forms import form_body, form_route
from overstory.api.outcomes import Outcome
from overstory.api.problems import PROBLEMS, Conflict, NotAllowed
from overstory.api.streams import streamed
from overstory.api.submissions import Submissions
from overstory.commands.control import BY_REQUEST
from overstory.export.units import export_of
from overstory.export.writers import WRITERS
from overstory.local.job_runner import take_up
from overstory.output.result import json_of
from overstory.output.tables import values
from overstory.output.terminal import json_array
from overstory.output.unit_values import image_value, names_of_units
from overstory.report.command import report_text
from tasks import followups
from tasks.calls.budget import check_budget
from tasks.runtime.services import Services
from tasks.submit import Submitted

MEDIA_TYPES = {
    "jsonl": "application/jsonl",
    "csv": "text/csv; charset=utf-8",
    "markdown": "text/markdown; charset=utf-8",
}
JSON = "application/json"


class Accepted(BaseModel):
    """A job that was submitted. ``created``: false if it was there before. ``ignored``: files that
    are not images; ``passed_over``: folders and files of systems and photo programs."""

    job: str
    status: JobStatus
    created: bool
    ignored: list[str] = []
    passed_over: list[str] = []


class Changed(BaseModel):
    """``changed``: false if the job was so before."""

    job: str
    status: JobStatus
    changed: bool


class Resume(BaseModel):
    model_config = ConfigDict(extra="forbid")
    budget: Annotated[float, Field(gt=0, le=1e9)] | None = None


class Question(BaseModel):
    """A further question. ``images``: positions that are shown again; empty: where the set fits one
    request all of them, else none, and the notes are read."""

    model_config = ConfigDict(extra="forbid")
    question: Annotated[str, Field(min_length=1, max_length=100_000)]
    images: list[Annotated[int, Field(ge=1)]] = []
    pack: Annotated[int, Field(ge=1)] | None = None
    budget: Annotated[float, Field(gt=0, le=1e9)] | None = None


class Jobs:
    """The jobs of one service."""

    def __init__(self, services: Services, submissions: Submissions, writers: Writers) -> None:
        self._services = services
        self._writers = writers
        self._database = services.database
        self._events = Events(services.database)
        self._submissions = submissions

    def router(self) -> APIRouter:
        routes = APIRouter(prefix="/api/jobs", tags=["jobs"], responses=PROBLEMS)
        routes.add_api_route(
            "",
            self.submit,
            methods=["POST"],
            status_code=HTTPStatus.CREATED,
            openapi_extra=form_body(),
            route_class_override=form_route(self._services, self._writers),
        )
        routes.get("")(self.listed)
        routes.get("/{job}", responses={HTTPStatus.OK: {"model": Outcome}})(self.show)
        images = {"model": list[dict[str, Any]]}
        routes.get("/{job}/images", responses={HTTPStatus.OK: images})(self.images)
        routes.get("/{job}/events", response_class=StreamingResponse)(self.events)
        routes.get("/{job}/report", response_class=HTMLResponse)(self.report)
        routes.get("/{job}/export", response_class=StreamingResponse)(self.export)
        routes.post("/{job}/cancel")(self.cancel)
        routes.post("/{job}/pause")(self.pause)
        routes.post("/{job}/resume")(self.resume)
        routes.post("/{job}/retry")(self.retry)
        routes.post("/{job}/ask", status_code=HTTPStatus.CREATED)(self.ask)
        return routes

    async def submit(
        self,
        spec: JobSpec,
        caller: Calling,
        response: Response,
        idempotency_key: Annotated[str | None, Header(min_length=1, max_length=255)] = None,
    ) -> Accepted:
        """Submit a job.

        The fields are those of `overstory.submit`. Images are paths under `OVERSTORY_INPUT_ROOTS`
        of the service, URLs, and uploads; a form brings its files with it. The same `key`, or
        `Idempotency-Key`, is the same job; with another question or other images it is refused.
        201: the job is new; 200: it was there.
        """
        if idempotency_key is not None:
            if spec.key not in (None, idempotency_key):
                raise WrongUsage(
                    "key: it differs from the header Idempotency-Key: give one of them"
                )
            spec = spec.model_copy(update={"key": idempotency_key})
        made = await self._submissions.submit(spec, caller)
        return await to_thread.run_sync(self._accepted, made, caller, response)

    def listed(
        self,
        caller: Calling,
        status: Annotated[list[JobStatus], Query()] = [],  # noqa: B006 - FastAPI copies it
        label: Annotated[str | None, Query(max_length=255)] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 50,
        owner: Annotated[str | None, Query(max_length=64)] = None,
    ) -> list[dict[str, Any]]:
        """List jobs, the newest first: the objects of `overstory jobs --json`. A token has its own
        jobs; an admin has all, or those of the token `owner` (`local`: without a token)."""
        if not caller.is_admin and owner not in (None, caller.owner):
            raise NotAllowed(f"the token {caller.name!r} sees only its own jobs: leave out owner")
        whose = owner if caller.is_admin else caller.owner
        with self._database.read() as connection:
            lines = inspect.jobs(connection, status, label, limit, whose)
        return [values(line) for line in lines]

    def show(self, job: str, caller: Calling) -> StreamingResponse:
        """Show one job: the object of `overstory show --json`."""
        row = find_job(self._database, job, caller)
        with self._database.read() as connection:
            line = inspect.job_line(connection, row.id)
        added = {"label": line.label, "seconds": line.seconds, "owner": line.owner}
        return streamed(json_of(self._database, row, ask=row.ask, **added), JSON)

    def images(
        self,
        job: str,
        caller: Calling,
        status: Annotated[list[ImageStatus], Query()] = [],  # noqa: B006 - FastAPI copies it
        unseen: bool = False,
    ) -> StreamingResponse:
        """List a job's images: the objects of `overstory images --json`. `unseen`: those without a
        proof that the model saw them."""
        row = find_job(self._database, job, caller)
        names = names_of_units(self._database, row)
        lines = parts.lines_in_pages(self._database, row.id, status, unseen)
        return streamed(json_array(image_value(line, names) for line in lines), JSON)

    async def events(
        self,
        job: str,
        caller: Calling,
        last_event_id: Annotated[int, Header(ge=0)] = 0,
        after: Annotated[int, Query(ge=0)] = 0,
    ) -> StreamingResponse:
        """Watch a job: server-sent events, from the first or from the one after `Last-Event-ID`.
        A browser cannot name that in its first request: `after` does. The stream ends with an event
        `end` when the job has ended."""
        await to_thread.run_sync(find_job, self._database, job, caller)
        stream: AsyncIterator[str] = self._events.stream(job, max(last_event_id, after))
        return StreamingResponse(stream, media_type="text/event-stream")

    def report(self, job: str, caller: Calling) -> HTMLResponse:
        """The report: one page that shows the answer and every image behind it."""
        row = find_job(self._database, job, caller)
        return HTMLResponse(report_text(self._services.settings, self._database, row))

    def export(
        self,
        job: str,
        caller: Calling,
        kind: Annotated[Literal["jsonl", "csv", "markdown"], Query(alias="format")] = "jsonl",
        rows: Literal["units", "images"] | None = None,
    ) -> StreamingResponse:
        """A job's images, one row for each, as `overstory export` writes them; of a job by units,
        its units. `rows`: which of the two."""
        export = export_of(self._database, find_job(self._database, job, caller), rows)
        name = {"Content-Disposition": f'attachment; filename="{job}.{kind}"'}
        return streamed(WRITERS[kind](export, False), MEDIA_TYPES[kind], name)

    def cancel(self, job: str, caller: Calling) -> Changed:
        """End a job. Images without an answer are skipped."""
        row = find_job(self._database, job, caller, changes=True)
        with self._database.write() as connection:
            changed = state.job_cancelled(connection, row.id, Moved())
        return self._changed(row.id, caller, changed)

    def pause(self, job: str, caller: Calling) -> Changed:
        """Pause a job."""
        row = find_job(self._database, job, caller, changes=True)
        with self._database.write() as connection:
            changed = state.job_moved(connection, row.id, JobStatus.PAUSED, BY_REQUEST)
        return self._changed(row.id, caller, changed)

    def resume(
        self, job: str, caller: Calling, given: Annotated[Resume | None, Body()] = None
    ) -> Changed:
        """Continue a paused job, perhaps with another budget."""
        row = find_job(self._database, job, caller, changes=True)
        if row.status.ended:
            raise Conflict(f"job {row.id} has ended ({row.status}): retry it")
        budget = given.budget if given else None
        check_budget(self._services.settings, budget, row.model, row.options.second_model)
        if budget is not None:
            with self._database.write() as connection:
                state.job_budgeted(connection, row.id, budget)
        take_up(self._services, row.id)
        return self._changed(row.id, caller, row.status is JobStatus.PAUSED)

    def retry(self, job: str, caller: Calling) -> Changed:
        """Try a job's failed and skipped images again."""
        row = find_job(self._database, job, caller, changes=True)
        if not row.status.ended:
            raise Conflict(f"job {row.id} has not ended ({row.status}): it goes on, or resume it")
        with self._database.write() as connection:
            reopened = repair.reopen(connection, row.id, Moved())
        if reopened:
            take_up(self._services, row.id)
        return self._changed(row.id, caller, bool(reopened))

    def ask(self, job: str, given: Question, caller: Calling, response: Response) -> Accepted:
        """Ask a further question about a job's images, as a job of its own."""
        row = find_job(self._database, job, caller, changes=True)
        shown = frozenset(given.images)
        if shown and max(shown) > row.submitted:
            raise WrongUsage(f"images: job {row.id} has {row.submitted:,} images")
        asked = followups.ask(
            self._services, row.id, given.question, shown, budget=given.budget, pack=given.pack
        )
        if asked.created:  # the key may have changed since: our workers serve it
            take_up(self._services, asked.job_id)
        return self._accepted(asked, caller, response)

    def _accepted(self, made: Submitted, caller: Caller, response: Response) -> Accepted:
        response.headers["Location"] = f"/api/jobs/{made.job_id}"
        if not made.created:
            response.status_code = HTTPStatus.OK
        return Accepted(
            job=made.job_id,
            status=find_job(self._database, made.job_id, caller).status,
            created=made.created,
            ignored=[*made.ignored],
            passed_over=[*made.passed_over],
        )

    def _changed(self, job: str, caller: Caller, changed: bool) -> Changed:
        return Changed(
            job=job, status=find_job(self._database, job, caller).status, changed=changed
        )
