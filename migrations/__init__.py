"""Alembic migrations, numbered, one step each; the rules are in README.md beside this file."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from models.engine import Database, away_as_ours


def configuration(url: str) -> Config:
    """Alembic's configuration for ``url``, without an ini file to find."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["url"] = url
    return config


def upgrade(url: str, revision: str = "head") -> None:
    """Bring the database at ``url`` up to ``revision``; safe to run by several processes at once.

    Raises ServiceAway when the database does not answer.
    """
    with away_as_ours():
        command.upgrade(configuration(url), revision)


def revision(database: Database) -> str | None:
    """The revision the database is at; None before the first."""
    with database.read() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def is_current(database: Database) -> bool:
    """True when the database is at the newest revision."""
    head = ScriptDirectory.from_config(configuration(database.url)).get_current_head()
    return revision(database) == head
