"""The database as a command needs it: this version's, or one line that says why it is not."""

from __future__ import annotations

import migrations
from core.errors import OverstoryError, ServiceAway, WrongUsage
from core.settings import Settings
from overstory.local.urls import masked, wrong_password
from workers.endpoints import database_file, database_url


def bring_up_to_date(settings: Settings) -> None:
    """Raises an OverstoryError that has the database's address, without its password."""
    url = database_url(settings)
    if wrong := wrong_password(url):
        raise WrongUsage(f"OVERSTORY_DATABASE_URL: {wrong}")
    try:
        migrations.upgrade(url)
    except ServiceAway as error:
        says = " ".join(str(error).split())
        raise ServiceAway(f"{says} ({masked(url)}); {remedy(settings)}") from error
    except WrongUsage:
        raise
    except OverstoryError as error:
        raise OverstoryError(f"{masked(url)}: {error}") from error


def remedy(settings: Settings) -> str:
    """What to do about a database that is away."""
    if settings.database_url is None and database_file(settings.home).exists():
        return "it is this home's own PostgreSQL: 'overstory up' starts it"
    if database_url(settings).startswith("sqlite"):
        return "see that its folder is there and can be written, or correct OVERSTORY_DATABASE_URL"
    return "start it, or correct OVERSTORY_DATABASE_URL"
