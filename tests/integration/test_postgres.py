"""What PostgreSQL and the poolers and hosts around it ask of a connection."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import literal, make_url, select, text

import migrations
from core.errors import WrongUsage
from models.engine import Database, make_engine
from models.reads import pipeline
from tasks.upkeep.reconciler import Reconciler
from tests.support.one_process import make_files, whole
from tests.support.pooler import pooling
from tests.support.postgres import Postgres


def opened_with(url: str) -> dict[str, str]:
    """The parameters of a connection, from its driver."""
    database = Database(url)
    try:
        with database.read() as connection:
            driver: Any = connection.connection.driver_connection
            found: dict[str, str] = driver.info.get_parameters()
            return found
    finally:
        database.dispose()


@pytest.mark.parametrize(
    ("given", "milliseconds"), [({}, "60000"), ({"tcp_user_timeout": "9"}, "9")]
)
def test_a_silently_lost_route_is_detected(
    postgres: Postgres, given: dict[str, str], milliseconds: str
) -> None:
    with postgres.database() as url:
        found = opened_with(
            make_url(url).update_query_dict(given).render_as_string(hide_password=False)
        )
    assert found["tcp_user_timeout"] == milliseconds
    assert found["keepalives_idle"] == "30"
    assert found["connect_timeout"] == "5"


def prepared_after_runs(url: str, runs: int = 20) -> int:
    """How many named statements the server holds after equal statements in one connection."""
    database = Database(url)
    try:
        for number in range(runs):
            with database.read() as connection:
                connection.execute(select(literal(number) + 1))
        with database.read() as connection:
            counted = text("SELECT count(*) FROM pg_prepared_statements")
            return int(connection.execute(counted).scalar_one())
    finally:
        database.dispose()


def test_no_statement_is_prepared_on_the_server_unless_the_url_asks_for_it(
    postgres: Postgres,
) -> None:
    with postgres.database() as url:
        assert prepared_after_runs(url) == 0
        assert prepared_after_runs(f"{url}&prepare_threshold=5") > 0


@pytest.mark.parametrize("given", ["always", "-1", "5&prepare_threshold=6"])
def test_a_wrong_threshold_is_refused(given: str) -> None:
    with pytest.raises(WrongUsage, match="prepare_threshold is a number"):
        make_engine(f"postgresql://me@db/name?prepare_threshold={given}")


def test_jobs_run_side_by_side_behind_a_pooler_in_transaction_mode(
    postgres: Postgres, tmp_path: Path
) -> None:
    """Migration, two jobs at once and their repair, over three connections that go from hand to
    hand."""

    def job(number: int) -> str:
        with whole(tmp_path / str(number), pooler.url, slice_images=4) as one:
            job_id = one.submit(make_files(tmp_path / f"files-{number}", 24))
            while one.step():
                pass
            Reconciler(one.services).round()
            with one.services.database.read() as connection:
                return str(pipeline.job_status(connection, job_id))

    with postgres.database() as url, pooling(url) as pooler:
        migrations.migrate(pooler.url)
        with ThreadPoolExecutor(2) as threads:
            assert list(threads.map(job, range(2))) == ["completed", "completed"]
        assert pooler.transactions > 100
