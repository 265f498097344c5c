"""A run on a PostgreSQL plan that takes few connections, like the small plans of hosts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from tests.support.command import Person
from tests.support.postgres import TEMPLATE, Postgres

SLOTS = 6
"""Connections of the plan: fewer than a run has processes and threads that use the database."""


@pytest.fixture
def plan(postgres: Postgres) -> Iterator[str]:
    """The URL as a host prints it."""
    name = f"plan_{os.getpid()}"
    postgres.execute(f"CREATE ROLE {name} LOGIN CONNECTION LIMIT {SLOTS}")
    with postgres.database(TEMPLATE) as url:
        grant = make_url(url).set(drivername="postgresql").render_as_string()
        with psycopg.connect(grant, autocommit=True) as connection:
            connection.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {name}".encode())
            connection.execute(f"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {name}".encode())
        yield make_url(url).set(drivername="postgres", username=name).render_as_string()
    postgres.execute(f"DROP ROLE {name}")


def test_a_run_waits_for_a_full_database_and_works_with_few_connections(
    person: Person, plan: str, make_images: Callable[..., Path]
) -> None:
    person.settings["OVERSTORY_DATABASE_URL"] = plan
    with ExitStack() as others:
        for _ in range(SLOTS):
            others.enter_context(psycopg.connect(plan.replace("postgres:", "postgresql:", 1)))
        process = person.start(make_images(40))
        assert process.stderr is not None
        first = process.stderr.readline()
    assert "waiting: the database has no free connection" in first
    ran = person.wait(process)
    assert ran.status == 0, ran.err
    assert "40 included" in ran.err
