"""The PostgreSQL server of a test session."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

import psycopg

import migrations

TEMPLATE = "overstory_template"
NUMBERS = count()


class Postgres:
    """A real server; a database costs a copy of the template."""

    def __init__(self, uri: str) -> None:
        self._uri = uri

    def url(self, name: str) -> str:
        return self._uri.replace("postgresql://", "postgresql+psycopg://").replace(
            "/postgres?", f"/{name}?"
        )

    def execute(self, *statements: str) -> None:
        with psycopg.connect(self._uri, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    @contextmanager
    def database(self, template: str = "template0") -> Iterator[str]:
        name = f"test_{os.getpid()}_{next(NUMBERS)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        try:
            yield self.url(name)
        finally:
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def make_template(self) -> None:
        """Migrate once; the processes of a parallel run share the server and the template."""
        with psycopg.connect(self._uri) as connection:
            found = connection.execute(
                "SELECT 1 FROM pg_database WHERE datname = %s", [TEMPLATE]
            ).fetchone()
        if found:
            return
        self.execute(
            "ALTER SYSTEM SET fsync = off",
            "ALTER SYSTEM SET synchronous_commit = off",
            "SELECT pg_reload_conf()",
            f"CREATE DATABASE {TEMPLATE}_part",
        )
        migrations.upgrade(self.url(f"{TEMPLATE}_part"))
        self.execute(f"ALTER DATABASE {TEMPLATE}_part RENAME TO {TEMPLATE}")
