"""Prometheus metrics of the whole service, read from its database and broker when scraped.

    overstory_queue_messages{queue}          messages waiting in the broker
    overstory_due{stage}                     images and nodes that are due and not claimed
    overstory_jobs{status}                   jobs by status
    overstory_calls_total{model,outcome}     paid requests by outcome
    overstory_tokens_total{model,kind}       tokens: prompt, cached, completion
    overstory_cost_total{model,currency}     money, from the price table
    overstory_failures_total{scope,code}     failed jobs, images, nodes, calls
    overstory_included_images{seen}          images of jobs that run or ended in the last hour, by
                                             what shows that the model saw them: an answer, a line,
                                             or nothing: only sent
    overstory_account_in_use{limit}          concurrency, rpm, tpm: used in this window
    overstory_account_allowed{limit}         ... and allowed now by the adaptive limit
    overstory_account_paused                 1 while the account has no balance
    overstory_limiter_wait_seconds{limit}    histogram: how long admission waited before a call,
                                             by cause: concurrency, rpm, tpm, cooling,
                                             refused, paused; none: it did not wait
    overstory_part_up{part}                  database and broker: 1 if it answered this scrape

One process, the reconciler, exports them from database and broker. Workers count nothing, so no
restart, fork or scale-down loses or doubles a number. Waits are summed in the limiter, which all
workers use: each admission carries how long it has waited. In a process one thread of each stage
waits at a time, so ``rate(..._sum)`` is how many of them a limit holds up on average. Flower's
/metrics has the times of tasks.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from core.account.wait_histogram import BUCKETS, WaitHistogram
from core.errors import ServiceAway
from core.stages import STAGES
from core.states import JobStatus
from models import claims
from models.reads import inspect, views
from tasks.runtime.services import Services

QUEUES = tuple(stage.name for stage in STAGES)
DUE_MAX = 1_000_000
"""The highest backlog that is counted; 100,000 rows take the database some 20 ms."""


SEEN_SECONDS = 3_600.0
"""Older jobs are not counted by ``seen``: a scrape must not read every image there ever was."""


class ServiceCollector(Collector):
    """Reads the values at every scrape. A part that does not answer is shown as down."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("overstory_part_up", "1 if it answered", labels=["part"])
        for part, read in (("database", self._database), ("broker", self._broker)):
            try:
                metrics = list(read())
            except ServiceAway:
                up.add_metric([part], 0)
                continue
            up.add_metric([part], 1)
            yield from metrics
        yield up

    def _database(self) -> Iterator[Metric]:
        with self._services.database.read() as connection:
            jobs = views.jobs_by_status(connection)
            usage = views.usage_by_model(connection)
            failures = views.failures_by_scope(connection)
            seen = inspect.seen_lately(connection, SEEN_SECONDS)
            due = claims.waiting_work(connection, self._services.account, DUE_MAX)
        gauge = GaugeMetricFamily("overstory_jobs", "jobs", labels=["status"])
        for status in JobStatus:  # also those of no job: a panel shows 0, not a gap
            gauge.add_metric([status.value], jobs.get(status.value, 0))
        yield gauge
        backlog = GaugeMetricFamily("overstory_due", "due and not claimed", labels=["stage"])
        for stage in STAGES:
            if stage.takes is not None:
                backlog.add_metric([stage.name], due.get(stage, 0))
        yield backlog
        yield from _usage(usage)
        failed = CounterMetricFamily("overstory_failures", "failures", labels=["scope", "code"])
        for (scope, code), count in failures.items():
            failed.add_metric([scope, code], count)
        yield failed
        included = GaugeMetricFamily("overstory_included_images", "included", labels=["seen"])
        for proof, count in seen.items():
            included.add_metric([proof], count)
        yield included

    def _broker(self) -> Iterator[Metric]:
        state = self._services.limiter.state()
        queues = GaugeMetricFamily("overstory_queue_messages", "waiting", labels=["queue"])
        for queue in QUEUES:
            queues.add_metric([queue], self._services.queued(queue))
        yield queues
        used = GaugeMetricFamily("overstory_account_in_use", "used", labels=["limit"])
        allowed = GaugeMetricFamily("overstory_account_allowed", "allowed", labels=["limit"])
        numbers = {"concurrency": state.in_flight, "rpm": state.requests, "tpm": state.tokens}
        for limit, number in numbers.items():
            used.add_metric([limit], number)
            allowed.add_metric([limit], getattr(state.learned, limit))
        yield used
        yield allowed
        if state.auto is not None:
            auto = GaugeMetricFamily("overstory_account_auto", "calls that pay", labels=["why"])
            auto.add_metric([state.auto.why], state.auto.level)
            yield auto
        yield GaugeMetricFamily("overstory_account_paused", "no balance", int(bool(state.paused)))
        yield _waits(self._services.limiter.waits())


def _usage(usage: list[views.ModelUsage]) -> Iterator[Metric]:
    calls = CounterMetricFamily("overstory_calls", "requests", labels=["model", "outcome"])
    tokens = CounterMetricFamily("overstory_tokens", "tokens", labels=["model", "kind"])
    cost = CounterMetricFamily("overstory_cost", "money", labels=["model", "currency"])
    for row in usage:
        for outcome in ("settled", "refused", "failed"):
            calls.add_metric([row.model, outcome], getattr(row, outcome))
        for kind in ("prompt", "cached", "completion"):
            tokens.add_metric([row.model, kind], getattr(row, f"{kind}_tokens"))
        cost.add_metric([row.model, row.currency], row.cost)
    yield from (calls, tokens, cost)


def _waits(waits: dict[str, WaitHistogram]) -> HistogramMetricFamily:
    histogram = HistogramMetricFamily(
        "overstory_limiter_wait_seconds", "how long admission waited", labels=["limit"]
    )
    bounds = [*map(str, BUCKETS), "+Inf"]
    for kind, waited in waits.items():
        cumulative = list(zip(bounds, accumulate(waited.counts), strict=True))
        histogram.add_metric([kind], cumulative, sum_value=waited.seconds)
    return histogram


def export(services: Services) -> WSGIServer | None:
    """Serve /metrics if the settings have a port; end it with ``shutdown`` and ``server_close``."""
    port = services.settings.metrics_port
    if port is None:
        return None
    registry = CollectorRegistry()
    registry.register(ServiceCollector(services))
    server, _ = start_http_server(port, services.settings.metrics_host, registry)
    return server
