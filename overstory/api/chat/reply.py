"""What a job's outcome is in OpenAI's shapes: a completion, its chunks, or an error."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from core.states import ImageStatus, JobStatus
from models.engine import Database
from models.reads import pipeline
from models.reads.pipeline import JobRow
from models.reads.standings import Standing
from overstory.api.openai_errors import Refusal
from overstory.output.answers import shape_of_job
from overstory.output.result import result

JOB_HEADER = "Overstory-Job"
DELTA_CHARACTERS = 400
FAILED_SHOWN = 1_000
"""Failed images that are listed; coverage has their number."""


@dataclass(frozen=True, slots=True)
class Completion:
    """The outcome of an answered job. ``extra``: our own fields, under ``overstory``."""

    id: str
    created: int
    model: str
    content: str
    usage: dict[str, Any]
    extra: dict[str, Any]

    @property
    def whole(self) -> dict[str, Any]:
        """The object ``chat.completion``."""
        message = {"role": "assistant", "content": self.content, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
        return {
            "id": self.id,
            "object": "chat.completion",
            "created": self.created,
            "model": self.model,
            "choices": [choice],
            "usage": self.usage,
            "overstory": self.extra,
        }

    def chunks(self, with_usage: bool) -> Iterator[dict[str, Any]]:
        """The objects ``chat.completion.chunk`` of a stream."""
        none = {"usage": None} if with_usage else {}
        yield self._chunk({"role": "assistant", "content": ""}) | none
        for at in range(0, len(self.content), DELTA_CHARACTERS):
            yield self._chunk({"content": self.content[at : at + DELTA_CHARACTERS]}) | none
        yield self._chunk({}, "stop") | none | {"overstory": self.extra}
        if with_usage:
            yield self._chunk(None) | {"usage": self.usage}

    def _chunk(self, delta: dict[str, Any] | None, finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return {
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.model,
            "choices": [] if delta is None else [choice],
        }


def completion(database: Database, job: str, created: bool) -> Completion:
    """The answer of ``job``. ``created``: this request has submitted it. Raises Refusal for a job
    without an answer."""
    with database.read() as connection:
        row = pipeline.job(connection, job)
    status = None if row is None else row.status
    if row is None or status not in (JobStatus.COMPLETED, JobStatus.PARTIAL):
        raise unanswered(job, Standing(status, True, None if row is None else row.reason))
    outcome = result(database, row)
    used = outcome["usage"]
    return Completion(
        id=f"chatcmpl-{job}",
        created=int(row.created_at),
        model=row.model,
        content=_content(row, outcome),
        usage={
            "prompt_tokens": used["prompt_tokens"],
            "completion_tokens": used["completion_tokens"],
            "total_tokens": used["prompt_tokens"] + used["completion_tokens"],
            "prompt_tokens_details": {"cached_tokens": used["cached_tokens"]},
        },
        extra=_extra(row, outcome, created),
    )


def _content(row: JobRow, outcome: dict[str, Any]) -> str:
    """The answer; of a shaped job the object as JSON, in the order of its schema."""
    data = outcome.get("data")
    return row.answer or "" if data is None else json.dumps(data, ensure_ascii=False)


def _extra(row: JobRow, outcome: dict[str, Any], created: bool) -> dict[str, Any]:
    failed = [
        {name: image[name] for name in ("position", "name", "error_code", "error")}
        for image in outcome["images"]
        if image["status"] == ImageStatus.FAILED
    ]
    shape = shape_of_job(row)
    answers = [
        {name: image[name] for name in ("position", "name", "answer")}
        for image in outcome["images"]
        if shape is not None and shape.each is not None
    ]
    used = outcome["usage"]
    return {
        "job": row.id,
        "status": str(row.status),
        "created": created,
        "coverage": outcome["coverage"],
        "seen": outcome["seen"],
        "failed": failed[:FAILED_SHOWN],
        **({"images": answers} if answers else {}),
        **{name: outcome[name] for name in ("totals", "data_error") if outcome.get(name)},
        "requests": used["requests"],
        "cost": used["cost"],
        "currency": used["currency"],
        "sandbox": outcome["sandbox"],
    }


def unanswered(job: str, standing: Standing) -> Refusal:
    """Why a job that is over has no answer, with a status that SDKs do not retry, and what to do
    about it."""
    if standing.status is None:
        return Refusal(
            f"job {job} is no longer there: send the request again",
            code="job_pruned",
            status=HTTPStatus.GONE,
        )
    again = (
        'send the request again with "overstory": {"retry": true}, or run'
        f" 'overstory retry {job}'"
    )
    if standing.status is JobStatus.FAILED:
        return Refusal(
            f"job {job} failed: {standing.reason}. When that is mended, {again}",
            code="job_failed",
            status=HTTPStatus.FAILED_DEPENDENCY,
        )
    if standing.status is JobStatus.CANCELLED:
        return Refusal(
            f"job {job} was cancelled: to go on, {again}",
            code="job_cancelled",
            status=HTTPStatus.CONFLICT,
        )
    return Refusal(
        f"job {job} is paused: {standing.reason}, or send the request again with a larger"
        ' "overstory": {"budget": ...}. What is paid stays paid',
        "overstory.budget",
        "budget_exceeded",
        HTTPStatus.PAYMENT_REQUIRED,
    )


def progress(standing: Standing) -> str:
    """``1,200 of 6,000 images seen, 3 failed``."""
    seen = f"{standing.of(ImageStatus.INCLUDED):,} of {standing.submitted:,} images seen"
    failed = standing.of(ImageStatus.FAILED)
    return f"{seen}, {failed:,} failed" if failed else seen
