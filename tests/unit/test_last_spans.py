"""The end of a process waits for a collector that answers, and hardly for one that does not."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from workers.traces import DEAD_SECONDS, OpenTelemetry

HANGS_SECONDS = 20.0


class Collector(SpanExporter):
    """Takes spans at once, or only when ``released`` is set."""

    def __init__(self) -> None:
        self.released = threading.Event()
        self.taken: list[str] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.released.wait(HANGS_SECONDS)
        self.taken += [span.name for span in spans]
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        return None


@pytest.mark.parametrize("closes", [1, 2])
def test_the_last_spans_are_sent(closes: int) -> None:
    collector = Collector()
    collector.released.set()
    traces = OpenTelemetry(collector)
    traces.span("overstory.infer", "job1", time.time_ns(), {})
    for _ in range(closes):
        traces.close()
    assert collector.taken == ["overstory.infer"]


def test_a_collector_that_hangs_does_not_hold_the_end() -> None:
    collector = Collector()
    traces = OpenTelemetry(collector)
    traces.span("overstory.infer", "job1", time.time_ns(), {})
    began = time.monotonic()
    traces.close()
    assert time.monotonic() - began < (DEAD_SECONDS + HANGS_SECONDS) / 2
    assert collector.taken == []
    collector.released.set()
