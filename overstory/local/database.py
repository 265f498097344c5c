"""Bring the database up to this version before a command uses it."""

from __future__ import annotations

import migrations
from core.errors import OverstoryError, ServiceAway, WrongUsage
from core.settings import Settings
from overstory.local.urls import masked, wrong_password
from workers.endpoints import database_url


def bring_up_to_date(settings: Settings) -> None:
    """Migrate the database. Errors name its address without the password.

    Raises WrongUsage, ServiceAway, or OverstoryError for a migration that failed.
    """
    url = database_url(settings)
    if wrong := wrong_password(url):
        raise WrongUsage(f"OVERSTORY_DATABASE_URL: {wrong}")
    try:
        migrations.upgrade(url)
    except ServiceAway as error:
        message = " ".join(str(error).split())
        raise ServiceAway(f"{message} ({masked(url)}); {remedy(settings)}") from error
    except WrongUsage:
        raise
    except OverstoryError as error:
        raise OverstoryError(f"{masked(url)}: {error}") from error


def remedy(settings: Settings) -> str:
    """What to do if the database does not answer."""
    if database_url(settings).startswith("sqlite"):
        return "check that its folder exists and is writable, or correct OVERSTORY_DATABASE_URL"
    return "start it, or correct OVERSTORY_DATABASE_URL"
