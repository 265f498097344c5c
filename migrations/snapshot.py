"""What all migrations together make of a new SQLite file, kept beside them as ``newest.sql``.

A new state folder is then one short script; Alembic takes a tenth of a second to load and run.
``python -m migrations.snapshot`` writes the script anew (``make schema``); a test holds it equal to
what the migrations make.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from sqlalchemy import Connection, inspect, text

import migrations
from models.engine import Database

SCRIPT = migrations.HERE / "newest.sql"
END = ";\n\n"
"""Between statements: none holds an empty line after a semicolon."""


def restored(url: str) -> bool:
    """Make the newest schema in the database at ``url`` where it is a SQLite file with nothing in
    it; whether it was one. Raises ServiceAway when the database does not answer."""
    database = Database(url)
    if not database.is_sqlite:
        return False
    try:
        with database.write() as connection:  # one at a time: whoever comes second finds it made
            if inspect(connection).get_table_names():
                return False
            for statement in SCRIPT.read_text("utf-8").split(END):
                connection.exec_driver_sql(statement)
            return True
    finally:
        database.dispose()


def taken() -> str:
    """The script, by migrating a file of its own step by step."""
    with tempfile.TemporaryDirectory(prefix="overstory-") as folder:
        url = f"sqlite:///{Path(folder) / 'new.db'}"
        migrations.migrate(url)
        database = Database(url)
        try:
            with database.read() as connection:
                return END.join(_statements(connection))
        finally:
            database.dispose()


def _statements(connection: Connection) -> list[str]:
    made = text("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid")
    number = text("SELECT version_num FROM alembic_version")
    statements = [str(statement).strip() for statement in connection.execute(made).scalars()]
    revision = connection.execute(number).scalar_one()
    return [*statements, f"INSERT INTO alembic_version VALUES ('{revision}')\n"]  # noqa: S608


if __name__ == "__main__":
    SCRIPT.write_text(taken(), encoding="utf-8")
