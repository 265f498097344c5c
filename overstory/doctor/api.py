"""The HTTP API: whether anybody can come in where a token is needed."""

from __future__ import annotations

from core.errors import OverstoryError
from models import tokens
from models.engine import Database
from overstory.doctor.context import Context
from overstory.doctor.finding import Finding, ok, warning
from overstory.output.plural import pluralize

CREATE_ONE = "create a token: overstory token create NAME"


def any_token(database: Database) -> bool:
    """Whether some token lets somebody in. Raises ServiceAway."""
    with database.read() as connection:
        return tokens.active(connection) > 0


def api(context: Context) -> Finding | None:
    """Who may use the API; a warning if everybody is asked for a token and there is none."""
    settings = context.settings
    try:
        with context.database.read() as connection:
            count = tokens.active(connection)
    except OverstoryError:
        return None  # the check of the database says it
    there = pluralize(count, "token") if count else "no token yet"
    if not (settings.api_hosts or settings.api_needs_token):
        return ok(f"open on this machine; anybody else needs a token: {there}")
    named = f"answers as {', '.join(settings.api_hosts)} and " if settings.api_hosts else ""
    if not count:
        return warning(f"{named}asks everybody for a token, and there is none", CREATE_ONE)
    return ok(f"{named}asks everybody for a token: {there}")
