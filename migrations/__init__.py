"""Alembic migrations, numbered, one step each; the rules are in README.md beside this file.

Alembic takes a tenth of a second to load, so it is loaded where there is something to do.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import inspect, text
from sqlalchemy.exc import DatabaseError

from core.errors import OverstoryError
from models.engine import Database, away_as_ours

if TYPE_CHECKING:
    from alembic.config import Config

HERE = Path(__file__).parent
NEWER = "it was used by a newer Overstory: install that version, or name another database"
DAMAGED = "move it away, restore it from a backup, or name another"


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

    Raises ServiceAway when the database does not answer, OverstoryError when it is of a newer
    version or none at all.
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
    """The revision the database is at; None before the first. Raises OverstoryError where it is no
    database."""
    with _sound(), database.read() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        found: str | None = connection.execute(
            text("SELECT version_num FROM alembic_version")
        ).scalar()
        return found


@contextmanager
def _sound() -> Iterator[None]:
    """Tell a file that is no database, or a damaged one. What SQLite says of it has no class of its
    own; what is wrong with a statement has, and is a bug."""
    try:
        yield
    except DatabaseError as error:
        if type(error) is not DatabaseError:
            raise
        raise OverstoryError(f"the database cannot be used: {error.orig}; {DAMAGED}") from error


def known() -> list[str]:
    """The revisions of this version, the newest first: the numbers of their files."""
    names = (path.name.partition("_")[0] for path in (HERE / "versions").glob("[0-9]*_*.py"))
    return sorted(names, reverse=True)


def newest() -> str:
    """The revision of the last migration."""
    return known()[0]


def is_current(database: Database) -> bool:
    """True when the database is at the newest revision. Raises OverstoryError where it is of a
    newer version, or no database."""
    found = revision(database)
    if found is not None and found not in known():
        raise OverstoryError(
            f"the database is at revision {found}, which this version does not know; {NEWER}"
        )
    return found == newest()


def _is_current(url: str) -> bool:
    database = Database(url)
    try:
        return is_current(database)
    finally:
        database.dispose()
