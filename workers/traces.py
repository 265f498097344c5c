"""OpenTelemetry: spans to a collector by OTLP over HTTP. The SDK is loaded only if traces are on.

They are on with OVERSTORY_TRACES=true, or if the environment names a collector in the standard way
(OTEL_EXPORTER_OTLP_ENDPOINT) and the extra is installed: pip install 'overstory[traces]'. All
OTEL_* settings of the SDK apply: headers, timeouts, sampling, OTEL_SERVICE_NAME, OTEL_SDK_DISABLED.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import threading
from collections.abc import Sequence
from contextvars import ContextVar
from importlib.util import find_spec
from typing import TYPE_CHECKING

import structlog

from core.settings import Settings
from tasks.runtime.tracing import NoTraces, Traces, Value

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
    from opentelemetry.trace import NonRecordingSpan

log = structlog.get_logger()

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
SDK = "opentelemetry.exporter.otlp.proto.http"
DEAD_SECONDS, SLOW_SECONDS = 0.5, 5.0
"""How long the end of a process waits for its last spans: at a collector that has not answered, and
at one that has."""


def open_traces(settings: Settings) -> Traces:
    """The traces of this process: ``NoTraces`` unless they are on."""
    named = any(os.environ.get(name) for name in ENDPOINTS)
    disabled = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    wanted = named if settings.traces is None else settings.traces
    if not wanted or disabled:
        return NoTraces()
    if (
        not is_installed()
    ):  # only a variable of OTEL_* asked for it: settings refuse OVERSTORY_TRACES
        log.warning("traces.off", reason="pip install 'overstory[traces]'")
        return NoTraces()
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OpenTelemetry(OTLPSpanExporter())


def is_installed() -> bool:
    try:
        return find_spec(SDK) is not None
    except ModuleNotFoundError:
        return False


class OpenTelemetry:
    """Sends spans with the SDK, in batches and in its own thread. Spans are dropped if the
    collector does not answer; nothing waits for it."""

    def __init__(self, exporter: SpanExporter) -> None:
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

        class Ids(RandomIdGenerator):
            """Ids from the job for its root span, random ids for other spans."""

            def generate_trace_id(self) -> int:
                job = _root_of.get()
                return trace_id(job) if job else super().generate_trace_id()

            def generate_span_id(self) -> int:
                job = _root_of.get()
                return span_id(job) if job else super().generate_span_id()

        name = os.environ.get("OTEL_SERVICE_NAME", "overstory")
        resource = Resource.create({SERVICE_NAME: name})
        self._provider = TracerProvider(
            resource=resource, id_generator=Ids(), shutdown_on_exit=False
        )
        self._answers = False
        self._provider.add_span_processor(BatchSpanProcessor(self._watched(exporter)))
        self._tracer = self._provider.get_tracer("overstory")
        self._closed = False
        atexit.register(self.close)  # for processes that end without closing their services

    def span(
        self,
        name: str,
        job: str,
        began_ns: int,
        attributes: dict[str, Value],
        error: str | None = None,
        root: bool = False,
    ) -> None:
        from opentelemetry import trace
        from opentelemetry.context import Context

        is_call = "gen_ai.request.model" in attributes
        token = _root_of.set(job if root else None)
        try:
            span = self._tracer.start_span(
                name,
                context=Context() if root else trace.set_span_in_context(_parent(job), Context()),
                kind=trace.SpanKind.CLIENT if is_call else trace.SpanKind.INTERNAL,
                attributes={"overstory.job": job, **attributes},
                start_time=began_ns,
            )
        finally:
            _root_of.reset(token)
        if error is not None:
            span.set_attribute("error.type", error)
            span.set_status(trace.StatusCode.ERROR)
        span.end()

    def close(self) -> None:
        """Send the last spans. A collector that has not answered holds the exit for no longer than
        DEAD_SECONDS: the thread that still tries ends with the process."""
        atexit.unregister(self.close)
        if self._closed:
            return
        self._closed = True
        sending = threading.Thread(target=self._provider.shutdown, name="spans", daemon=True)
        sending.start()
        sending.join(SLOW_SECONDS if self._answers else DEAD_SECONDS)

    def _watched(self, exporter: SpanExporter) -> SpanExporter:
        """``exporter``, noting whether the collector answered last."""
        from opentelemetry.sdk.trace.export import SpanExportResult

        export = exporter.export

        def noting(spans: Sequence[ReadableSpan]) -> SpanExportResult:
            result = export(spans)
            self._answers = result is SpanExportResult.SUCCESS
            return result

        exporter.export = noting  # type: ignore[method-assign]
        return exporter


_root_of: ContextVar[str | None] = ContextVar("root_of", default=None)


def _parent(job: str) -> NonRecordingSpan:
    """The job's root span, which another process may have recorded."""
    from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

    return NonRecordingSpan(
        SpanContext(trace_id(job), span_id(job), is_remote=True, trace_flags=TraceFlags(1))
    )


def trace_id(job: str) -> int:
    """The trace id of a job, from its id alone: the same in every process."""
    return int.from_bytes(_hash(job)[:16])


def span_id(job: str) -> int:
    return int.from_bytes(_hash(job)[16:24])


def _hash(job: str) -> bytes:
    return hashlib.sha256(f"overstory job {job}".encode()).digest()
