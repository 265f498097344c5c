"""Responses that are kept alive while a job runs: a stream of chunks, or JSON after white space.

Their status is sent before the outcome is known. A stream tells a late error as a chunk that SDKs
raise. A JSON body is left unfinished, after the error for people to read: SDKs raise that, or send
the request again, which joins the job and is refused with the true status.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus
from typing import Any

from anyio import to_thread
from starlette.responses import StreamingResponse
from starlette.types import Send

from core.errors import OverstoryError
from core.text.printable import one_line
from overstory.api.chat.reply import JOB_HEADER, Completion, progress
from overstory.api.chat.waiting import Waiting
from overstory.api.openai_errors import Refusal, error_object

Complete = Callable[[], Completion]
"""Reads the answer of a job that is over. Raises Refusal if it has none."""


class Unfinished(Exception):
    """The body ends here, and its reader has to notice that it is not whole."""


class KeptAlive(StreamingResponse):
    """A response whose body may be left unfinished, so that its connection is cut."""

    async def stream_response(self, send: Send) -> None:
        try:
            await super().stream_response(send)
        except Unfinished:
            return  # without the last message, the server closes the connection


def json_later(waiting: Waiting, job: str, complete: Complete) -> KeptAlive:
    """The completion as JSON, after white space."""

    async def body() -> AsyncIterator[str]:
        async for standing in waiting.follow(job):
            if not standing.is_over:
                yield "\n"
        try:
            answer = await to_thread.run_sync(complete)
        except OverstoryError as error:
            yield json.dumps(_object_of(error))
            raise Unfinished from None
        yield json.dumps(answer.whole, ensure_ascii=False)

    return KeptAlive(body(), headers={JOB_HEADER: job}, media_type="application/json")


def chunks(waiting: Waiting, job: str, complete: Complete, with_usage: bool) -> StreamingResponse:
    """The completion as server-sent events: comments about the progress, then the answer."""

    async def events() -> AsyncIterator[str]:
        before = ""
        yield f": job {job}\n\n"
        async for standing in waiting.follow(job):
            line = progress(standing)
            if standing.is_over:
                break
            if line == before:  # nothing has moved since the last beat
                line = await waiting.trouble(standing) or line
            else:
                before = line
            yield f": {one_line(line)}\n\n"
        try:
            answer = await to_thread.run_sync(complete)
        except OverstoryError as error:
            yield _event(_object_of(error))
            return
        for chunk in answer.chunks(with_usage):
            yield _event(chunk)
        yield "data: [DONE]\n\n"

    headers = {JOB_HEADER: job, "X-Accel-Buffering": "no"}  # nginx would hold the comments back
    return StreamingResponse(events(), headers=headers, media_type="text/event-stream")


def _event(value: Any) -> str:
    """A value in ASCII: some readers of events end a line at U+2028 too."""
    return f"data: {json.dumps(value)}\n\n"


def _object_of(error: OverstoryError) -> dict[str, Any]:
    if isinstance(error, Refusal):
        return error_object(error.status, str(error), error.param, error.code)
    return error_object(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
