"""Bring the database up to this version before a command uses it."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass

import click

import migrations
from core.errors import (
    DatabaseFull,
    DatabaseUnusable,
    OverstoryError,
    ServiceAway,
    WrongUsage,
)
from core.settings import Settings
from models.engine import NO_WRITES, Database
from models.postgresql import tell_waits_to
from overstory.local.urls import masked, wrong_password
from workers.endpoints import database_url

SAID_AGAIN_SECONDS = 30.0


@dataclass(slots=True)
class Notice:
    """Prints on stderr what this process waits for. Its threads may wait for the same."""

    due: float = 0.0

    def __call__(self, sentence: str) -> None:
        if time.monotonic() >= self.due:
            self.due = time.monotonic() + SAID_AGAIN_SECONDS
            click.echo(f"overstory: {sentence}", err=True)


def bring_up_to_date(settings: Settings) -> None:
    """Migrate the database. Errors name its address without the password. While it has no free
    connection, this waits, and a sentence on stderr says so.

    Raises WrongUsage, ServiceAway, or OverstoryError for a migration that failed.
    """
    url = database_url(settings)
    if wrong := wrong_password(url):
        raise WrongUsage(f"OVERSTORY_DATABASE_URL: {wrong}")
    tell_waits_to(Notice())
    try:
        _upgrade(url)
    except DatabaseUnusable as error:
        raise DatabaseUnusable(f"{error} ({masked(url)})") from error
    except ServiceAway as error:
        message = " ".join(str(error).split())
        raise ServiceAway(f"{message} ({masked(url)}); {remedy(settings)}") from error
    except WrongUsage:
        raise
    except OverstoryError as error:
        raise OverstoryError(f"{masked(url)}: {error}") from error


def _upgrade(url: str) -> None:
    while True:
        with contextlib.suppress(DatabaseFull):
            return migrations.upgrade(url)


def check_writable(settings: Settings) -> None:
    """Raises DatabaseUnusable for a database that only answers queries: a standby."""
    url = database_url(settings)
    database = Database(url)
    try:
        if database.is_read_only():
            raise DatabaseUnusable(f"{NO_WRITES} ({masked(url)})")
    finally:
        database.dispose()


def remedy(settings: Settings) -> str:
    """What to do if the database does not answer."""
    if database_url(settings).startswith("sqlite"):
        return "check that its folder exists and is writable, or correct OVERSTORY_DATABASE_URL"
    return "start it, or correct OVERSTORY_DATABASE_URL"
