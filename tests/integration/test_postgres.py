"""What PostgreSQL and the poolers and hosts around it ask of a connection."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import URL, QueuePool, literal, make_url, select, text

import migrations
from core.errors import DatabaseFull, DatabaseUnusable, ServiceAway, WrongUsage
from core.settings import load
from models.engine import Database, make_engine
from models.postgresql import tell_waits_to
from models.reads import pipeline
from overstory.doctor import parts
from overstory.doctor.context import Context
from overstory.doctor.finding import Level
from overstory.local.database import Notice, bring_up_to_date, check_writable
from tasks.upkeep.reconciler import Reconciler
from tests.support.one_process import make_files, whole
from tests.support.pooler import pooling, refusing
from tests.support.postgres import TEMPLATE, Postgres
from tests.support.waiting import eventually


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
    hand. Each worker takes work of both jobs, so only when both have ended is a job complete."""

    def job(number: int) -> str:
        with whole(tmp_path / str(number), pooler.url, slice_images=4) as one:
            job_id = one.submit(make_files(tmp_path / f"files-{number}", 24))
            while one.step():
                pass
            Reconciler(one.services).round()
            return job_id

    with postgres.database() as url, pooling(url) as pooler:
        migrations.migrate(pooler.url)
        with ThreadPoolExecutor(2) as threads:
            jobs = list(threads.map(job, range(2)))
        database = Database(pooler.url)
        with database.read() as connection:
            statuses = [str(pipeline.job_status(connection, job_id)) for job_id in jobs]
        database.dispose()
        assert statuses == ["completed", "completed"]
        assert pooler.transactions > 100


def test_prepared_statements_behind_a_pooler_are_told_with_their_cure(postgres: Postgres) -> None:
    """Statements that get other connections in turn, of which each knows only some of them."""
    with postgres.database() as url, pooling(url) as pooler:
        database = Database(f"{pooler.url}?prepare_threshold=1")
        with pytest.raises(DatabaseUnusable, match="take prepare_threshold out of"):
            run_often(database)
        database.dispose()


def run_often(database: Database) -> None:
    for number in range(20):
        with database.read() as connection:
            connection.execute(select(literal(number) + 1))


# --- what keeps a command from going on is said, with its cure


UNUSABLE = {
    "latin": "stores text as LATIN1.*createdb --encoding=UTF8",
    "ascii": "stores text as SQL_ASCII.*createdb --encoding=UTF8",
    "no_right": "lacks a right.*GRANT USAGE, CREATE.*permission denied for schema public",
    "no_schema": "lacks a right.*no schema has been selected",
    "no_connect": "does not let this user connect.*GRANT CONNECT",
    "no_database": "no database of this name.*createdb",
    "no_user": "refuses the user or the password.*OVERSTORY_DATABASE_URL",
    "parameter": "take it out of OVERSTORY_DATABASE_URL .*pgbouncer",
}


@pytest.fixture
def weak(postgres: Postgres) -> Iterator[str]:
    """A user without rights."""
    name = f"weak_{os.getpid()}"
    postgres.execute(f"CREATE ROLE {name} LOGIN")
    yield name
    postgres.execute(f"DROP ROLE {name}")


def unusable(case: str, url: URL, weak: str, postgres: Postgres) -> URL:
    """``url``, an empty database, spoiled as ``case`` says."""
    match case:
        case "latin" | "ascii":
            encoding = {"latin": "LATIN1", "ascii": "SQL_ASCII"}[case]
            postgres.execute(
                f"DROP DATABASE {url.database}",
                f"CREATE DATABASE {url.database} ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'"
                " TEMPLATE template0",
            )
        case "no_right":
            return url.set(username=weak)
        case "no_schema":
            return url.update_query_dict({"options": "-csearch_path=nowhere"})
        case "no_connect":
            postgres.execute(f"REVOKE CONNECT ON DATABASE {url.database} FROM public")
            return url.set(username=weak)
        case "no_database":
            return url.set(database="nowhere")
        case "no_user":
            return url.set(username="nobody")
        case "parameter":
            return url.update_query_dict({"pgbouncer": "true"})
    return url


@pytest.mark.parametrize("case", UNUSABLE)
def test_a_database_that_cannot_be_used_is_named_with_its_cure(
    case: str, postgres: Postgres, weak: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with postgres.database() as url:
        spoiled = unusable(case, make_url(url), weak, postgres).render_as_string()
        monkeypatch.setenv("OVERSTORY_DATABASE_URL", spoiled)
        with pytest.raises(DatabaseUnusable, match=UNUSABLE[case]):
            bring_up_to_date(load())
        if case not in ("no_right", "no_schema"):  # which are seen when tables are made
            finding = parts.database(Context.examine(os.environ))
            assert re.search(UNUSABLE[case], f"{finding.says}: {finding.do}")
            assert finding.level is Level.FAILED


@pytest.mark.parametrize(
    ("answer", "cure"),
    [
        ('password authentication failed for user "me"', "correct them in OVERSTORY_DATABASE_URL"),
        ("Tenant or user not found", "correct them in OVERSTORY_DATABASE_URL"),
        ('no pg_hba.conf entry for host "1.2.3.4", user "me", no encryption', "sslmode=require"),
        ("SSL connection is required", "sslmode=require"),
        ('no pg_hba.conf entry for host "1.2.3.4", user "me", SSL encryption', "allow it in"),
        ("unsupported startup parameter: options", "ignore_startup_parameters"),
        ("no such database: shop", "createdb"),
    ],
)
def test_a_refused_connection_is_told_with_its_cure(answer: str, cure: str) -> None:
    with refusing(answer) as port, pytest.raises(DatabaseUnusable, match=cure):
        migrations.upgrade(f"postgres://me:secret@127.0.0.1:{port}/shop")


def test_a_server_without_tls_is_told(postgres: Postgres) -> None:
    url = "postgres://me@127.0.0.1:{}/shop?sslmode=require"
    with refusing("never sent") as port, pytest.raises(DatabaseUnusable, match="has no TLS"):
        migrations.upgrade(url.format(port))


def test_any_other_refusal_may_pass() -> None:
    with refusing("the database system is starting up") as port:
        with pytest.raises(ServiceAway, match="starting up") as raised:
            migrations.upgrade(f"postgres://me@127.0.0.1:{port}/shop")
        assert not isinstance(raised.value, DatabaseUnusable)


def test_a_standby_is_told_apart_from_a_server_that_is_away(postgres: Postgres) -> None:
    with postgres.database(TEMPLATE) as url:
        name = make_url(url).database
        check_writable(load(database_url=url))
        postgres.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        with pytest.raises(DatabaseUnusable, match=r"a standby.*OVERSTORY_DATABASE_URL"):
            check_writable(load(database_url=url))


# --- a server that takes few connections


@pytest.fixture
def limited(postgres: Postgres) -> Iterator[Callable[[int], str]]:
    """``limited(12)``: the URL of a database whose user may have 12 connections."""
    name = f"limited_{os.getpid()}"
    postgres.execute(f"CREATE ROLE {name} LOGIN")
    with postgres.database(TEMPLATE) as url:

        def limit(number: int) -> str:
            postgres.execute(f"ALTER ROLE {name} CONNECTION LIMIT {number}")
            return make_url(url).set(username=name).render_as_string()

        yield limit
    postgres.execute(f"DROP ROLE {name}")


def idle_after_use(url: str, threads: int) -> int:
    """How many connections a process keeps after so many were in use at once."""
    database = Database(url)
    together = Barrier(threads)

    def use(_: int) -> None:
        with database.read() as connection:
            connection.execute(select(literal(1)))
            together.wait(10)

    try:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(use, range(threads)))
        pool = database.engine.pool
        return pool.checkedin() if isinstance(pool, QueuePool) else 0
    finally:
        database.dispose()


@pytest.mark.parametrize(("limit", "kept"), [(12, 0), (20, 1), (50, 3), (-1, 5)])
def test_a_process_keeps_its_share_of_the_connections(
    limited: Callable[[int], str], limit: int, kept: int
) -> None:
    assert idle_after_use(limited(limit), 8) == kept


def test_a_full_server_is_waited_for_and_said(limited: Callable[[int], str]) -> None:
    url = limited(1)
    told: list[str] = []
    tell_waits_to(told.append)
    taken, waiting = Database(url), Database(url)
    try:
        with ThreadPoolExecutor(1) as threads:
            with taken.read() as connection:
                connection.execute(select(literal(1)))
                answer = threads.submit(waiting.is_read_only)
                eventually(lambda: bool(told))
                assert not answer.done()
            assert answer.result(10) is False
    finally:
        tell_waits_to(lambda sentence: None)
        taken.dispose()
        waiting.dispose()
    assert "no free connection" in told[0]


def test_a_wait_that_takes_too_long_ends(
    limited: Callable[[int], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.postgresql.FULL_SECONDS", 0.1)
    database = Database(limited(0))
    with pytest.raises(DatabaseFull, match="CONNECTION LIMIT"), database.read():
        pass


def test_what_waits_is_printed_once_in_a_while(capsys: pytest.CaptureFixture[str]) -> None:
    notice = Notice()
    for _ in range(3):
        notice("waiting: it is full")
    assert capsys.readouterr().err == "overstory: waiting: it is full\n"
