"""The schema that all migrations make of a new SQLite file, stored as ``newest.sql``.

With it, a new state folder needs one short script; Alembic takes a tenth of a second to load and
run. ``python -m migrations.snapshot`` (``make schema``) writes the script again; a test checks that
it equals the result of the migrations.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from sqlalchemy import Connection, inspect, text

import migrations
from models.engine import Database, sqlite_url

SCRIPT = migrations.HERE / "newest.sql"
END = ";\n\n"
"""Separates statements: no statement contains an empty line after a semicolon."""


def restored(url: str) -> bool:
    """Create the newest schema if ``url`` is an empty SQLite database. Returns whether it was.
    Raises ServiceAway if the database does not answer."""
    database = Database(url)
    if not database.is_sqlite:
        return False
    try:
        with database.write() as connection:  # one at a time: the second process finds the tables
            if inspect(connection).get_table_names():
                return False
            for statement in SCRIPT.read_text("utf-8").split(END):
                connection.exec_driver_sql(statement)
            return True
    finally:
        database.dispose()


def taken() -> str:
    """The script, from a new temporary database that is migrated step by step."""
    with tempfile.TemporaryDirectory(prefix="overstory-") as folder:
        url = sqlite_url(Path(folder) / "new.db")
        migrations.migrate(url)
        database = Database(url)
        try:
            with database.read() as connection:
                return END.join(_statements(connection))
        finally:
            database.dispose()


def _statements(connection: Connection) -> list[str]:
    schema = text("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid")
    number = text("SELECT version_num FROM alembic_version")
    statements = [str(statement).strip() for statement in connection.execute(schema).scalars()]
    revision = connection.execute(number).scalar_one()
    return [*statements, f"INSERT INTO alembic_version VALUES ('{revision}')\n"]  # noqa: S608


if __name__ == "__main__":
    SCRIPT.write_text(taken(), encoding="utf-8")
