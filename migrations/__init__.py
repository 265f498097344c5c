"""Numbered Alembic migrations, one step each; README.md in this folder has the rules.

Alembic takes a tenth of a second to load, so it is loaded only if there is something to do.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import inspect, text
from sqlalchemy.exc import DatabaseError

from core.errors import OverstoryError
from models.engine import Database, unavailable_as_ours

if TYPE_CHECKING:
    from alembic.config import Config

HERE = Path(__file__).parent
NEWER = "a newer Overstory has used it: install that version, or give another database"
DAMAGED = "move it away, restore it from a backup, or give another"


def configuration(url: str) -> Config:
    """Alembic's configuration for ``url``, without an ini file."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(HERE))
    config.attributes["url"] = url
    return config


def upgrade(url: str, revision: str | None = None) -> None:
    """Upgrade the database at ``url`` to ``revision``, by default the newest. Several processes may
    call it at once.

    Raises ServiceAway if the database does not answer, OverstoryError if it belongs to a newer
    version or the file is not a database.
    """
    if revision is None and _is_current(url):
        return
    from migrations.snapshot import restored

    if revision is not None or not restored(url):
        migrate(url, revision)


def migrate(url: str, revision: str | None = None) -> None:
    """Like ``upgrade``, but always step by step."""
    from alembic import command

    with unavailable_as_ours():
        command.upgrade(configuration(url), revision or "head")


def revision(database: Database) -> str | None:
    """The database's revision; None before the first. Raises OverstoryError if the file is not a
    database or is damaged."""
    with _damage_as_ours(), database.read() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        number: str | None = connection.execute(
            text("SELECT version_num FROM alembic_version")
        ).scalar()
        return number


@contextmanager
def _damage_as_ours() -> Iterator[None]:
    """Translate SQLite's error about an invalid or damaged file. It has the class DatabaseError
    itself; the errors of wrong statements have subclasses, and are bugs."""
    try:
        yield
    except DatabaseError as error:
        if type(error) is not DatabaseError:
            raise
        raise OverstoryError(f"the database cannot be used: {error.orig}; {DAMAGED}") from error


def known() -> list[str]:
    """The revisions of this version, newest first: the numbers in the file names."""
    names = (path.name.partition("_")[0] for path in (HERE / "versions").glob("[0-9]*_*.py"))
    return sorted(names, reverse=True)


def newest() -> str:
    """The revision of the last migration."""
    return known()[0]


def is_current(database: Database) -> bool:
    """Whether the database is at the newest revision. Raises OverstoryError if it belongs to a
    newer version, or the file is not a database."""
    current = revision(database)
    if current is not None and current not in known():
        raise OverstoryError(
            f"the database is at revision {current}, which this version does not know; {NEWER}"
        )
    return current == newest()


def _is_current(url: str) -> bool:
    database = Database(url)
    try:
        return is_current(database)
    finally:
        database.dispose()
