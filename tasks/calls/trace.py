"""The trace span of one call, from its admission to its end on the ledger."""

from __future__ import annotations

import time

from core.reply import Usage
from core.stages import stage_of
from tasks.calls.node_request import Admission
from tasks.runtime.tracing import Traces, Value


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
        "overstory.images": admission.call.images,
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
    kind = type(error).__name__ if isinstance(error, Exception) else None
    traces.span(stage_of(node.kind).task, node.job_id, time.time_ns() - took_ns, attributes, kind)
