"""Processes, messages and images that fail in the middle of a job, judged from outside.

``make gauntlet`` runs many more faults, and longer.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.support.faults import judge
from tests.support.faults.crash_points import Weather
from tests.support.faults.scene import Bench, Plan, Scene, scene
from tests.support.faults.servers import Postgres, PostgresStore

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]

FINISH_SECONDS = 180.0
HALVING_CALLS = 13
"""The most calls that finding one bad image among 60 may add."""

Open = Callable[[Plan], AbstractContextManager[Scene]]


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    folder = Path(tempfile.mkdtemp(prefix="overstory-faults-"))
    postgres = Postgres(folder / "postgres")
    yield Bench(folder, postgres, seed=1, short=True)
    postgres.close()
    shutil.rmtree(folder)


@pytest.fixture
def opened(bench: Bench, request: pytest.FixtureRequest) -> Open:
    return lambda plan: scene(bench, plan, request.node.name, request.node.name)


def assert_holds(stage: Scene) -> None:
    """The jobs end, and the gauntlet's judge finds nothing lost and nothing paid for twice."""
    stage.finish(FINISH_SECONDS)
    stage.judge()
    assert not stage.figures.broken, stage.figures.as_json()


def test_killed_calling_workers_lose_nothing_but_the_calls_in_flight(opened: Open) -> None:
    with opened(Plan()) as stage:
        stage.submit(240)
        stage.until_calls(4)
        for _ in range(3):
            stage.kill(stage.random.choice(stage.fleet.named("infer")))
            if stage.pace(stage.random.uniform(2.0, 4.0)):
                break
        assert_holds(stage)


def test_workers_killed_between_two_looks_lose_nothing_and_pay_for_nothing_twice(
    opened: Open,
) -> None:
    with opened(Plan()) as stage:  # every picture is dim, so all are unclear to the first model
        stage.submit(48, second_model="step-5-preview", second_look=0.5)
        for _ in range(3):
            stage.until_calls(2)
            stage.kill(stage.random.choice(stage.fleet.named("infer")))
            if stage.pace(stage.random.uniform(1.0, 2.0)):
                break
        assert_holds(stage)
        database = stage.services.database
        assert judge.count(database, "images", "look = 2 AND unclear IS NULL") == 24
        assert judge.count(database, "images", "look = 1 AND unclear IS NOT NULL") == 24


def test_a_message_that_is_delivered_five_times_is_done_once(opened: Open) -> None:
    with opened(Plan(weather=Weather(copies=5))) as stage:
        stage.submit(100)
        assert_holds(stage)


def test_a_database_that_crashes_and_comes_back_costs_no_call(opened: Open) -> None:
    with opened(Plan(postgres=True)) as stage:
        assert isinstance(stage.store, PostgresStore)
        stage.submit(240)
        stage.until_calls(4)
        for _ in range(2):
            stage.fault()
            stage.store.server.stop_now()
            stage.store.server.start_again()
            if stage.pace(5.0):
                break
        assert_holds(stage)
        assert stage.figures.extra == 0


def test_one_refused_image_of_a_request_is_found_and_fails_alone(opened: Open) -> None:
    refuses_purple = {"keyed": [{"match": "colour:purple", "kind": "451"}]}
    plan = Plan(images_per_request=60, settings={"context_tokens": None}, sandbox=refuses_purple)
    with opened(plan) as stage:
        job = stage.submit(120, purple=[37])
        assert_holds(stage)
        database = stage.services.database
        refused = "status = 'failed' AND error_code = 'blocked' AND position = 37"
        assert judge.count(database, "images", refused) == 1
        assert judge.count(database, "images", "status = 'failed'") == 1
        assert stage.endpoint.stats()["calls"] <= 120 // 60 + 1 + HALVING_CALLS
        assert stage.status(job) == "partial"
