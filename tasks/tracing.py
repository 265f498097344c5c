"""What a trace is told of: one span a submission, a slice, a call. Off unless it is asked for.

All spans of a job are one trace, whose id follows from the job's, so no message has to carry a
context: a hint that was lost, doubled or sent by the reconciler leads to the same trace. Spans hold
ids, counts and states; never a question, an answer, a file's name or an error's text.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from core.reply import Usage
from core.states import NodeKind

if TYPE_CHECKING:
    from tasks.question import Admission

Value = str | int | float


class Traces(Protocol):
    """Where spans go."""

    def span(
        self,
        name: str,
        job: str,
        began_ns: int,
        attributes: dict[str, Value],
        error: str | None = None,
        root: bool = False,
    ) -> None:
        """A span of ``job`` that began at ``began_ns`` (time.time_ns) and ends now. ``error`` is
        the kind of what went wrong; ``root``: the span that the job's others are children of."""

    def close(self) -> None:
        """Send what has not been sent."""


class NoTraces:
    """Traces are off."""

    def span(
        self,
        name: str,
        job: str,
        began_ns: int,
        attributes: dict[str, Value],
        error: str | None = None,
        root: bool = False,
    ) -> None:
        return None

    def close(self) -> None:
        return None


def call_ended(
    traces: Traces,
    admission: Admission,
    status: str,
    usage: Usage | None = None,
    http_status: int | None = None,
    error: object = None,
) -> None:
    """The span of a call, from its admission to its end on the ledger."""
    node = admission.node
    took_ns = int((time.monotonic() - admission.admitted_at) * 1e9)
    attributes: dict[str, Value] = {
        "overstory.node": node.id,
        "overstory.node.level": node.level,
        "overstory.call": admission.call_id,
        "overstory.attempt": node.attempts + 1,
        "overstory.images": admission.question.images(admission.variant),
        "overstory.tokens.reserved": admission.tokens,
        "overstory.call.status": status,
        "gen_ai.request.model": node.model,
    }
    if usage is not None:
        attributes["gen_ai.usage.input_tokens"] = usage.prompt_tokens
        attributes["overstory.usage.cached_tokens"] = usage.cached_tokens
        attributes["gen_ai.usage.output_tokens"] = usage.completion_tokens
    if http_status is not None:
        attributes["http.response.status_code"] = http_status
    name = "overstory.infer" if node.kind == NodeKind.LEAF else "overstory.aggregate"
    kind = type(error).__name__ if isinstance(error, Exception) else None
    traces.span(name, node.job_id, time.time_ns() - took_ns, attributes, kind)
