"""Prometheus metrics match the database, on both databases."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from sqlalchemy import insert, select, update

from core.settings import load
from models import state
from models.engine import Database, now
from models.state import Moved
from models.tables import Call, Job
from tasks.runtime.services import Services
from tests.support import jobs
from workers.app import make_app
from workers.metrics import SEEN_SECONDS, ServiceCollector, export
from workers.services import build_services


@pytest.fixture
def services(database: Database) -> Iterator[Services]:
    settings = load(database_url=database.url, broker_url="redis://127.0.0.1:1/0", metrics_port=0)
    made = build_services(settings, make_app(settings))
    yield made
    made.database.dispose()


def scrape(services: Services) -> str:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(ServiceCollector(services))
    return generate_latest(registry).decode()


def test_metrics_match_the_database(services: Services, database: Database) -> None:
    job = jobs.submit(database, [2])
    call = {"job_id": job, "account": "a", "model": "m", "images": 2, "currency": "USD"}
    call |= {"reserved_tokens": 1, "lease_token": "t", "lease_until": 0.0, "started_at": 1.0}
    with database.write() as connection:
        state.job_cancelled(connection, job, Moved())
        for key, status in (("1", "settled"), ("2", "refused")):
            connection.execute(
                insert(Call).values(**call, key=key, status=status, prompt_tokens=50, cost=0.25)
            )
    said = scrape(services)
    assert 'overstory_jobs{status="cancelled"} 1.0' in said
    assert 'overstory_calls_total{model="m",outcome="settled"} 1.0' in said
    assert 'overstory_tokens_total{kind="prompt",model="m"} 100.0' in said.replace(
        '{model="m",kind="prompt"}', '{kind="prompt",model="m"}'
    )
    assert 'overstory_cost_total{currency="USD",model="m"} 0.5' in said.replace(
        '{model="m",currency="USD"}', '{currency="USD",model="m"}'
    )
    assert 'overstory_failures_total{scope="call",code="refused"} 1.0' in said.replace(
        '{code="refused",scope="call"}', '{scope="call",code="refused"}'
    )


def test_included_images_are_counted_by_proof_for_an_hour(
    services: Services, database: Database
) -> None:
    job, old = jobs.submit(database, [3]), jobs.submit(database, [1])
    for name in (job, old):
        jobs.finish_all(database, jobs.upload_all(database, name))
    jobs.prove(database, job, "line", 1, 2)
    with database.write() as connection:
        long_ago = connection.execute(select(now())).scalar_one() - SEEN_SECONDS - 1
        connection.execute(update(Job).where(Job.id == old).values(finished_at=long_ago))
    metrics = scrape(services)
    for proof, count in (("answer", 0.0), ("line", 2.0), ("sent", 1.0)):
        assert f'overstory_included_images{{seen="{proof}"}} {count}' in metrics


def test_an_unavailable_part_hides_no_other_metric(services: Services) -> None:
    said = scrape(services)
    assert 'overstory_part_up{part="database"} 1.0' in said
    assert 'overstory_part_up{part="broker"} 0.0' in said


def test_no_metrics_are_served_by_default(services: Services) -> None:
    services.settings = services.settings.model_copy(update={"metrics_port": None})
    assert export(services) is None
