"""Alembic migrations, numbered, one step each; the rules are in README.md beside this file.

Alembic takes a tenth of a second to load, so it is loaded where there is something to do.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import inspect, text

from models.engine import Database, away_as_ours

if TYPE_CHECKING:
    from alembic.config import Config

HERE = Path(__file__).parent


def configuration(url: str) -> Config:
    """Alembic's configuration for ``url``, without an ini file to find."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(HERE))
    config.attributes["url"] = url
    return config


def upgrade(url: str, revision: str | None = None) -> None:
    """Bring the database at ``url`` up to ``revision``, by default the newest; safe to run by
    several processes at once.

    Raises ServiceAway when the database does not answer.
    """
    if revision is None and _is_current(url):
        return
    from migrations.snapshot import restored

    if revision is not None or not restored(url):
        migrate(url, revision)


def migrate(url: str, revision: str | None = None) -> None:
    """The same, step by step, whatever is there."""
    from alembic import command

    with away_as_ours():
        command.upgrade(configuration(url), revision or "head")


def revision(database: Database) -> str | None:
    """The revision the database is at; None before the first."""
    with database.read() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        found: str | None = connection.execute(
            text("SELECT version_num FROM alembic_version")
        ).scalar()
        return found


def newest() -> str:
    """The revision of the last migration: its file's number."""
    return max(path.name.partition("_")[0] for path in (HERE / "versions").glob("[0-9]*_*.py"))


def is_current(database: Database) -> bool:
    """True when the database is at the newest revision."""
    return revision(database) == newest()


def _is_current(url: str) -> bool:
    database = Database(url)
    try:
        return is_current(database)
    finally:
        database.dispose()
