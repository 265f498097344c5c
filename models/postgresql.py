"""Connections to PostgreSQL: the URL as people write it, timeouts, and no session of our own.

A pooler between us and the server (PgBouncer in transaction mode, Supavisor, PgCat) gives every
transaction another server connection. So nothing here or in models/ may last longer than its
transaction: no named prepared statement, no SET, no LISTEN, no temporary table, and of the advisory
locks only those that end with the transaction (pg_advisory_xact_lock).
"""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog
from sqlalchemy import URL, Engine, ExceptionContext, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import NullPool

from core.errors import DatabaseFull, DatabaseUnusable, WrongUsage
from models.servers import Servers, Watch

log = structlog.get_logger()

SCHEMES: Final = ("postgresql", "postgres", "postgresql+psycopg", "postgresql+psycopg2")
"""How the URL of a PostgreSQL may begin; psycopg 3 reads all of them. Hosts print the first two."""
_HOSTS: Final = re.compile(
    r"(?P<begin>postgres[a-z0-9+]*://(?:.*@)?)(?P<hosts>[^@/?#]*,[^@/?#]*)(?P<rest>[/?].*)?", re.S
)
"""A URL with several hosts: postgresql://user:password@first:5432,second:5432/name?parameters."""
_HOST: Final = re.compile(r"(?P<host>\[[^\]]*\]|[^:\[\]]+)(?::(?P<port>\d+))?")
DEFAULT_PORT: Final = "5432"
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
SESSION = "target_session_attrs"
"""A parameter of libpq: which of several servers may be used. Ours must take writes."""
READ_ONLY = "25006"
"""The SQLSTATE of a server that accepts no writes: a standby, or a server with a full disk."""
CONNECTIONS_MAX, KEPT_MAX = 10, 5
"""Connections of one process: at most, and kept open while nothing uses them."""
SHARE = 16
"""A process keeps one idle connection for so many that the server takes. A server may take 12, 3 of
them for its administrator, and a machine runs up to a dozen processes of ours: if some kept one,
others could not work. Where it takes fewer than SHARE, each transaction opens its own."""
FULL: Final = (
    "too many clients already",
    "too many connections for",
    "connection slots are reserved",
    "no more connections allowed",  # PgBouncer
    "ax client connections reached",  # Supavisor
)
"""Texts of a server, or of a pooler, that has no free connection."""
FULL_SECONDS = 60.0
"""How long a connection is tried again while there is none."""
TOLD_SECONDS, RETRY_SECONDS = 1.0, 0.5
CURES: Final = (
    (
        re.compile(
            r"password authentication failed|no password supplied|SASL authentication failed"
            r"|role \"[^\"]*\" does not exist|no such user|Tenant or user not found"
        ),
        "refuses the user or the password: correct them in OVERSTORY_DATABASE_URL",
    ),
    (
        re.compile(r"database \"[^\"]*\" does not exist|no such database"),
        (
            "has no database of this name: create it with createdb, or correct the name at the end"
            " of OVERSTORY_DATABASE_URL"
        ),
    ),
    (
        re.compile(r"no encryption|SSL connection is required|SSL(/TLS)? required"),
        (
            "wants TLS, or does not take this user from this machine: add ?sslmode=require to"
            " OVERSTORY_DATABASE_URL, or let its administrator allow this machine in pg_hba.conf"
        ),
    ),
    (
        re.compile(r"pg_hba\.conf"),
        (
            "does not take this user from this machine: let its administrator allow it in"
            " pg_hba.conf, or correct the user in OVERSTORY_DATABASE_URL"
        ),
    ),
    (
        re.compile(r"server does not support SSL"),
        (
            "has no TLS, and sslmode in OVERSTORY_DATABASE_URL asks for it: turn TLS on at the"
            " server, or take sslmode out"
        ),
    ),
    (
        re.compile(r"certificate verify failed|root certificate file|server certificate for"),
        (
            "has a certificate that is not trusted: name the CA's file in OVERSTORY_DATABASE_URL"
            " (?sslrootcert=/path/ca.pem), and the host as the certificate spells it"
        ),
    ),
    (
        re.compile(r"permission denied for database"),
        (
            "does not let this user connect: run GRANT CONNECT ON DATABASE there, or correct the"
            " user in OVERSTORY_DATABASE_URL"
        ),
    ),
    (
        re.compile(r"unsupported startup parameter"),
        (
            "is a pooler that takes no such parameter: take it out of OVERSTORY_DATABASE_URL, or"
            " name it in the pooler's ignore_startup_parameters"
        ),
    ),
)
"""What a server's refusal of a connection says, and the rest of the sentence about the server. None
of them passes by itself. A connection that failed has no SQLSTATE (libpq), only a text."""
NO_ROOM = (
    "the database has no free connection for us: close connections of other programs, raise its"
    " max_connections or the user's CONNECTION LIMIT, or set OVERSTORY_CPU_WORKERS and"
    " OVERSTORY_INFER_PROCESSES lower"
)
LIMITS = """
SELECT least(current_setting('max_connections')::int,
             (SELECT nullif(rolconnlimit, -1) FROM pg_roles WHERE rolname = current_user),
             (SELECT nullif(datconnlimit, -1) FROM pg_database WHERE datname = current_database()))
"""

Tell = Callable[[str], None]
_listeners: list[Tell] = []
_limits: dict[URL, int] = {}
"""How many connections the server at a URL takes from us."""


def parse_url(text: str) -> URL:
    """``text`` as a SQLAlchemy URL, whose own parser does not take several hosts. libpq tries them
    in turn: with target_session_attrs=read-write, it finds the primary after a failover.

    Raises ArgumentError for what is not a URL.
    """
    several = _HOSTS.fullmatch(text)
    if several is None:
        return make_url(text)
    places = [_HOST.fullmatch(place) for place in several["hosts"].split(",")]
    hosts = [place["host"].strip("[]") for place in places if place]
    if len(hosts) < len(places):
        raise ArgumentError("a host is not written as HOST or HOST:PORT")
    ports = [place["port"] or DEFAULT_PORT for place in places if place]
    url = make_url(several["begin"] + (several["rest"] or ""))
    return url.update_query_dict({"host": ",".join(hosts), "port": ",".join(ports)})


def tell_waits_to(tell: Tell) -> None:
    """From now on, ``tell`` gets a sentence when this process waits for a free connection."""
    _listeners[:] = [tell]


def postgresql_engine(url: URL) -> Engine:
    """An engine for the PostgreSQL at ``url``. Asks the server how many connections it takes, once
    in a process.

    Raises WrongUsage for a parameter that is wrong, and what a connection raises.
    """
    if url not in _limits:
        probe = _engine(url, {"poolclass": NullPool})
        with probe.connect() as connection:
            _limits[url] = int(connection.exec_driver_sql(LIMITS).scalar_one())
        probe.dispose()
    kept = min(_limits[url] // SHARE, KEPT_MAX)
    if kept == 0:
        return _engine(url, {"poolclass": NullPool})
    sizes = {"pool_size": kept, "max_overflow": CONNECTIONS_MAX - kept}
    return _engine(url, {**sizes, "pool_pre_ping": True, "pool_recycle": 1800})


def _engine(url: URL, pool: Mapping[str, Any]) -> Engine:
    threshold = _threshold(url)
    url = url.difference_update_query([PREPARE]).set(drivername="postgresql+psycopg")
    if "," in str(url.query.get("host", "")):
        url = url.update_query_dict({SESSION: url.query.get(SESSION, "read-write")})
    engine = create_engine(
        url,
        hide_parameters=True,  # errors go to logs; questions, answers and names do not
        connect_args={
            PREPARE: threshold,
            **{name: value for name, value in TIMEOUTS.items() if name not in url.query},
        },
        **pool,
    )
    one_at_a_time = threading.Lock()
    driver: Any = engine.dialect.loaded_dbapi
    servers = Servers(lambda names: engine.dialect.connect(**names), driver)
    watch = Watch(driver)

    @event.listens_for(engine, "do_connect")
    def _connect(dialect: object, record: object, words: object, names: dict[str, Any]) -> Any:
        with one_at_a_time:  # a full server gets few attempts, however many threads wait
            connection = _connected(lambda: servers.connect(names), driver)
        _check_encoding(connection, url)
        watch.add(connection, names)
        return connection

    @event.listens_for(engine, "engine_disposed")
    def _stop_watching(_: Engine) -> None:
        watch.close()

    @event.listens_for(engine, "handle_error")
    def _read_only_is_temporary(context: ExceptionContext) -> None:
        """The driver reports an internal error, but the state is temporary, like an unavailable
        server. Drop the connection: it stays read-only even after the server accepts writes."""
        if getattr(context.original_exception, "sqlstate", None) == READ_ONLY:
            context.is_disconnect = True
        if context.is_disconnect:
            servers.doubt()

    return engine


def _connected(connect: Callable[[], Any], driver: Any) -> Any:
    """A connection. Waits while the server has none to give.

    Raises DatabaseFull if it has none for FULL_SECONDS, DatabaseUnusable for what does not pass by
    itself, and the driver's error for anything else.
    """
    began, told = time.monotonic(), False
    while True:
        try:
            return connect()
        except driver.ProgrammingError as error:  # a parameter that libpq does not know
            raise DatabaseUnusable(
                f"the database URL holds what psycopg does not know: take it out of"
                f" OVERSTORY_DATABASE_URL ({_line(error)})"
            ) from None
        except driver.OperationalError as error:
            problem, waited = str(error), time.monotonic() - began
            if not any(text in problem for text in FULL):
                if (cure := _cure(problem)) is None:
                    raise
                raise DatabaseUnusable(f"the database server {cure} ({_line(error)})") from None
            if waited > FULL_SECONDS:
                raise DatabaseFull(f"{NO_ROOM} ({_line(error)})") from None
        if waited > TOLD_SECONDS and not told:
            told = True
            log.warning("database.full", error=problem)
            for tell in _listeners:
                tell(f"waiting: {NO_ROOM}")
        time.sleep(RETRY_SECONDS * random.uniform(0.2, 1.0))  # noqa: S311 -- no secret


def _cure(problem: str) -> str | None:
    return next((cure for texts, cure in CURES if texts.search(problem)), None)


def _check_encoding(connection: Any, url: URL) -> None:
    encoding = connection.info.parameter_status("server_encoding")
    if encoding in ("UTF8", None):
        return
    connection.close()
    name = url.database or "overstory"
    raise DatabaseUnusable(
        f"the database {name} stores text as {encoding}, which cannot hold every name and answer:"
        f" create one with 'createdb --encoding=UTF8 --template=template0 NAME' and give it in"
        " OVERSTORY_DATABASE_URL"
    )


def _line(error: Exception) -> str:
    """The end of the driver's first line, which says what the server said."""
    line = str(error).strip().partition("\n")[0]
    return line.rpartition("failed: ")[2]


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
