"""With a collector configured, a job is one trace over all processes without private data."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support.command import Endpoint, Person
from workers.traces import span_id, trace_id

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]

QUESTION = "Which zebra is the stripiest?"


class Collector:
    """An OTLP receiver that keeps the requests, raw and parsed."""

    def __init__(self) -> None:
        self.raw: list[bytes] = []
        self.spans: list[Any] = []
        self.url = ""

    def take(self, body: bytes) -> None:
        self.raw.append(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            for scope in resource.scope_spans:
                self.spans += scope.spans


def values(span: Any) -> dict[str, Any]:
    """A span's attributes."""
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in span.attributes}


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            made.take(body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_port}"
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_job_is_one_trace_over_its_processes(
    person: Person, endpoint: Endpoint, collector: Collector, make_images: Callable[..., Path]
) -> None:
    person.settings["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector.url
    ran = person.run(make_images(70), "--json", ask=QUESTION)
    assert ran.status == 0, ran.err
    job = ran.result["job"]
    assert {int.from_bytes(span.trace_id) for span in collector.spans} == {trace_id(job)}

    names = [span.name for span in collector.spans]
    assert names.count("overstory.submit") == 1
    assert names.count("overstory.infer") == 2
    assert names.count("overstory.aggregate") == 1
    root = next(span for span in collector.spans if span.name == "overstory.submit")
    assert not root.parent_span_id
    assert int.from_bytes(root.span_id) == span_id(job)
    others = [span for span in collector.spans if span is not root]
    assert {span.parent_span_id for span in others} == {root.span_id}

    calls = [values(span) for span in collector.spans if span.name == "overstory.infer"]
    assert sum(call["overstory.images"] for call in calls) == 70
    for call in calls:
        assert call["overstory.job"] == job
        assert call["overstory.call.status"] == "settled"
        assert call["gen_ai.usage.input_tokens"] > 0
        assert {"overstory.node", "overstory.call", "overstory.attempt"} <= set(call)
    slices = [values(span) for span in others if span.name == "overstory.preprocess"]
    assert sum(part["overstory.images.done"] for part in slices) == 70

    sent = b"".join(collector.raw)
    for private in (
        QUESTION,
        endpoint.key,
        ran.result["answer"][:40],
        "0001.jpg",
        str(person.home),
    ):
        assert private.encode() not in sent


def test_a_failed_call_is_marked_only_by_its_kind(
    person: Person, endpoint: Endpoint, collector: Collector, make_images: Callable[..., Path]
) -> None:
    endpoint.process.configure(script=["500"])
    person.settings["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector.url
    assert person.run(make_images(2)).status == 0
    calls = [span for span in collector.spans if span.name == "overstory.infer"]
    failed, answered = sorted(calls, key=lambda span: span.start_time_unix_nano)
    assert values(failed)["error.type"] == "ProviderDown"
    assert values(failed)["overstory.node"] == values(answered)["overstory.node"]
    assert values(failed)["overstory.call"] != values(answered)["overstory.call"]
    assert (failed.status.code, failed.status.message) == (2, "")
    assert answered.status.code == 0


def test_disabled_traces_import_nothing() -> None:
    script = "import sys; from core.settings import load; from workers.app import make_app;"
    script += "from workers.services import build_services; s = load(broker_url='redis://x/0');"
    script += "made = build_services(s, make_app(s)); made.traces.span('n', 'j', 0, {});"
    script += "import tasks.infer, tasks.upload, tasks.submit;"
    # redis-py imports the SDK's metrics by itself if it is installed
    ours = ("opentelemetry.sdk.trace", "opentelemetry.exporter", "google.protobuf")
    script += f"assert not [m for m in sys.modules if m.startswith({ours})]"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0


def test_an_unavailable_collector_delays_nothing(
    person: Person, make_images: Callable[..., Path]
) -> None:
    person.settings["OTEL_EXPORTER_OTLP_ENDPOINT"] = "http://127.0.0.1:1"
    person.settings["OTEL_EXPORTER_OTLP_TIMEOUT"] = "1"
    assert person.run(make_images(3)).status == 0
