"""Connections to PostgreSQL: the URL as people write it, timeouts, and no session of our own.

A pooler between us and the server (PgBouncer in transaction mode, Supavisor, PgCat) gives every
transaction another server connection. So nothing here or in models/ may last longer than its
transaction: no named prepared statement, no SET, no LISTEN, no temporary table, and of the advisory
locks only those that end with the transaction (pg_advisory_xact_lock).
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import URL, Engine, ExceptionContext, create_engine, event

from core.errors import WrongUsage

SCHEMES: Final = ("postgresql", "postgres", "postgresql+psycopg", "postgresql+psycopg2")
"""How the URL of a PostgreSQL may begin; psycopg 3 reads all of them. Hosts print the first two."""
TIMEOUTS: Final = {
    "connect_timeout": 5,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,  # ms
}
"""When a connection to PostgreSQL counts as broken. If a route disappears silently (a NAT table, a
moved address), Linux alone waits two hours for a reply and a quarter of an hour for an
acknowledgement: longer than a lease."""
PREPARE = "prepare_threshold"
"""A parameter of the URL: after so many runs in one connection, a statement is prepared on the
server under a name. Unset: never, because behind a pooler the name may belong to the statement of
another client."""
READ_ONLY = "25006"
"""The SQLSTATE of a server that accepts no writes: a standby, or a server with a full disk."""


def postgresql_engine(url: URL) -> Engine:
    """An engine for the PostgreSQL at ``url``. Raises WrongUsage for a parameter that is wrong."""
    threshold = _threshold(url)
    url = url.difference_update_query([PREPARE]).set(drivername="postgresql+psycopg")
    engine = create_engine(
        url,
        pool_pre_ping=True,  # no checkout fails after a database restart (celery.md)
        pool_size=5,
        max_overflow=20,
        hide_parameters=True,  # errors go to logs; questions, answers and names do not
        pool_recycle=1800,
        connect_args={
            PREPARE: threshold,
            **{name: value for name, value in TIMEOUTS.items() if name not in url.query},
        },
    )

    @event.listens_for(engine, "handle_error")
    def _read_only_is_temporary(context: ExceptionContext) -> None:
        """The driver reports an internal error, but the state is temporary, like an unavailable
        server. Drop the connection: it stays read-only even after the server accepts writes."""
        if getattr(context.original_exception, "sqlstate", None) == READ_ONLY:
            context.is_disconnect = True

    return engine


def _threshold(url: URL) -> int | None:
    given = url.query.get(PREPARE)
    if given is None:
        return None
    if not isinstance(given, str) or not given.isascii() or not given.isdecimal():
        raise WrongUsage(
            f"OVERSTORY_DATABASE_URL: {PREPARE} is a number of runs, like {PREPARE}=5; leave it out"
            " to prepare no statement on the server"
        )
    return int(given)
