"""``/v1/chat/completions`` and ``/v1/models``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from http import HTTPStatus
from typing import Any

from anyio import to_thread
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from core.errors import InputRefused, ServiceAway, WrongUsage
from core.states import JobStatus
from core.text.printable import quotable
from overstory.api.bodies import Writers
from overstory.api.caller import Caller, Calling
from overstory.api.chat import asking, parameters, streaming
from overstory.api.chat.asking import Asking
from overstory.api.chat.body import BYTES_OF_ALL_MAX, Body, too_large
from overstory.api.chat.models import models_of
from overstory.api.chat.reply import JOB_HEADER, completion, unanswered
from overstory.api.chat.waiting import Waiting
from overstory.api.health import Health
from overstory.api.openai_errors import Refusal, error_response
from overstory.api.problems import TooBusy
from overstory.api.submissions import Submissions
from overstory.local.job_runner import take_up
from tasks.runtime.services import Services
from tasks.submit import Submitted

BODIES_AT_ONCE = 8
"""Large bodies that are read at once. Further ones wait, and their senders with them."""
SMALL_BYTES = 1_000_000
"""A body that says it is not larger does not wait."""
TURN_SECONDS = 60.0
FIRST_SECONDS = 10.0
"""So long an answer is waited for before status 200 is sent and the connection is kept alive:
what is refused or fails at once has its true status, and clients wait longer than that."""


class Chat:
    """The OpenAI-compatible routes of one service."""

    def __init__(
        self, services: Services, submissions: Submissions, writers: Writers, health: Health
    ) -> None:
        self._services = services
        self._submissions = submissions
        self._writers = writers
        self._models = models_of(services)
        self._waiting = Waiting(services.database, health.trouble)
        self._turns = asyncio.Semaphore(BODIES_AT_ONCE)

    def router(self) -> APIRouter:
        routes = APIRouter(prefix="/v1", tags=["OpenAI"])
        described = parameters.described()
        routes.post("/chat/completions", response_model=None, openapi_extra=described)(
            self.complete
        )
        routes.get("/models")(self.models)
        routes.get("/models/{model:path}")(self.model)
        return routes

    async def complete(self, request: Request, caller: Calling) -> Response:
        """Ask about images, as the SDKs of OpenAI do.

        Any number of `image_url` parts, with data URLs or http(s) URLs; text parts are the
        question. `stream` sends progress as comments and the answer at the end. The same request
        again is the same job and costs nothing. docs/openai.md has all parameters.
        """
        if caller.read_only:
            raise Refusal(
                "this token may only read: ask with another one", status=HTTPStatus.FORBIDDEN
            )
        values = await self._body(request, caller)
        asked = await to_thread.run_sync(
            asking.read, values, caller.owner, request.headers.get("idempotency-key")
        )
        await self._models.check(asked.spec.model or "")
        submitted = await self._submit(asked, caller)
        return await self._answer(submitted, asked)

    async def models(self, caller: Calling) -> dict[str, Any]:
        """List the models that may be asked: the service's own, then those of its endpoint."""
        cards = [self._models.card(name) for name in await self._models.names()]
        return {"object": "list", "data": cards}

    async def model(self, model: str, caller: Calling) -> dict[str, Any]:
        """Describe one model."""
        await self._models.check(model)
        return self._models.card(model)

    async def _body(self, request: Request, caller: Caller) -> dict[str, Any]:
        encoding = request.headers.get("content-encoding", "identity")
        if encoding != "identity":
            raise Refusal(
                f"Content-Encoding {quotable(encoding, 20)}: send the body as it is",
                status=HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            )
        length = request.headers.get("content-length", "")
        if length.isdecimal() and int(length) > BYTES_OF_ALL_MAX:
            raise too_large()
        begin = partial(self._services.uploads.begin, caller.owner)
        settings = self._services.settings
        body = Body(begin, settings.max_inputs, settings.max_file_bytes)
        try:
            async with self._turn(length):
                await self._writers.pour(request, body.feed)
                return await self._writers.run(body.end)
        except BaseException:
            body.abort()
            raise

    @asynccontextmanager
    async def _turn(self, length: str) -> AsyncIterator[None]:
        """A turn to send a body of ``length`` bytes. Raises TooBusy if it does not come."""
        if length.isdecimal() and int(length) <= SMALL_BYTES:
            yield
            return
        try:
            async with asyncio.timeout(TURN_SECONDS):
                await self._turns.acquire()
        except TimeoutError:
            raise TooBusy("the service reads as many large requests as it can at once") from None
        try:
            yield
        finally:
            self._turns.release()

    async def _submit(self, asked: Asking, caller: Caller) -> Submitted:
        try:
            submitted = await self._submissions.submit(asked.spec, caller)
        except InputRefused:
            raise
        except WrongUsage as error:
            raise asking.blamed(error) from None
        if asked.retry and not submitted.created:
            await to_thread.run_sync(take_up, self._services, submitted.job_id)
        return submitted

    async def _answer(self, submitted: Submitted, asked: Asking) -> Response:
        job = submitted.job_id
        complete = partial(completion, self._services.database, job, submitted.created)
        standing = await self._waiting.now(job)
        if not standing.is_over and not asked.stream:
            try:
                async with asyncio.timeout(FIRST_SECONDS):
                    standing = await self._waiting.end(job)
            except TimeoutError:
                standing = await self._waiting.now(job)
                if not standing.moves and (trouble := await self._waiting.trouble(standing)):
                    raise ServiceAway(f"job {job} {trouble}") from None
                return streaming.json_later(self._waiting, job, complete)
        if standing.is_over and standing.status not in (JobStatus.COMPLETED, JobStatus.PARTIAL):
            refusal = unanswered(job, standing)
            return error_response(
                refusal.status, str(refusal), refusal.param, refusal.code, {JOB_HEADER: job}
            )
        if asked.stream:
            return streaming.chunks(self._waiting, job, complete, asked.with_usage)
        answer = await to_thread.run_sync(complete)
        return JSONResponse(answer.whole, headers={JOB_HEADER: job})
