"""Connections to the database: engines configured for SQLite and PostgreSQL, and its clock."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from sqlalchemy import URL, Connection, Double, Engine, create_engine, event
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    NoSuchModuleError,
    OperationalError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from core.errors import DatabaseRefused, DatabaseUnusable, ServiceAway, WrongUsage
from models.postgresql import READ_ONLY, SCHEMES, parse_url, postgresql_engine

SQLITE_BUSY_SECONDS = 60
"""How long a writer waits for another transaction (a backup may hold the lock for 20 s)."""
FIXED_IN = ((3, 51, 3), (3, 50, 7), (3, 44, 6))
"""SQLite versions in which the WAL-reset bug (3.7.0 to 3.51.2) is fixed, newest first."""
WRITER_SECONDS = 20.0
"""How long a PostgreSQL keeps a write transaction whose writer says nothing: longer than any pause
of ours between two statements, even if a job of a million images is planned."""
NO_WRITES = (
    "the database accepts no writes: it is a standby, or its disk is full; set"
    " OVERSTORY_DATABASE_URL to the primary server, or free space there"
)
NO_RIGHT: Final = ("42501", "3F000")
"""The SQLSTATEs of a user without a right, and of a user who sees no schema to create tables in."""
GRANT = (
    "the user in OVERSTORY_DATABASE_URL lacks a right in the database: let its owner run GRANT"
    " USAGE, CREATE ON SCHEMA public TO that user, or give the user a database of its own"
)
MIXED_UP: Final = ("26000", "42P05")
"""The SQLSTATEs of a prepared statement that is missing, or is there already."""
NO_PREPARED = (
    "a pooler between us and the database gives our connections to others, so prepared statements"
    " are mixed up: take prepare_threshold out of OVERSTORY_DATABASE_URL"
)
AWAY_STATES: Final = (
    "08",  # the connection broke
    "53",  # out of disk, memory or connections
    "57P",  # the server stops, starts or ends idle sessions
    "58",  # an I/O error of the server
    READ_ONLY,
    *("40001", "40P01", "55P03"),  # another transaction was in the way: this one was undone
)
"""How the SQLSTATEs begin that say something about the server's state, not about the statement."""
AWAY_CODES: Final = {
    "SQLITE_BUSY",
    "SQLITE_LOCKED",
    "SQLITE_NOMEM",
    "SQLITE_READONLY",
    "SQLITE_IOERR",
    "SQLITE_FULL",
    "SQLITE_CANTOPEN",
    "SQLITE_PROTOCOL",
}
"""The same for SQLite. Its extended codes begin with these and an underscore."""
__all__ = ["Connection", "Database", "make_engine", "now", "sqlite_module", "unavailable_as_ours"]


class now(FunctionElement[float]):  # noqa: N801 -- a SQL function, lower case like func.count
    """The database's clock in seconds since 1970. Workers' clocks are not used."""

    type = Double()
    inherit_cache = True
    name = "now_epoch"


@compiles(now, "sqlite")
def _now_sqlite(element: now, compiler: Any, **kw: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(now, "postgresql")
def _now_postgresql(element: now, compiler: Any, **kw: Any) -> str:
    return "extract(epoch from clock_timestamp())"


class Database:
    """Connections to one database. Thread-safe; a forked child gets its own pool."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._engine: Engine | None = None
        self._pid = 0
        self._lock = threading.Lock()

    @property
    def engine(self) -> Engine:
        with self._lock:
            if self._engine is None or self._pid != os.getpid():
                if self._engine is not None:
                    self._engine.dispose(close=False)  # the sockets belong to the parent
                self._engine, self._pid = make_engine(self.url), os.getpid()
            return self._engine

    @property
    def is_sqlite(self) -> bool:
        return self.url.startswith("sqlite")

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One short write transaction. On SQLite it takes the write lock at once (BEGIN IMMEDIATE):
        a transaction that reads first and writes later fails with 'database is locked'.

        A PostgreSQL undoes it once it hears nothing for WRITER_SECONDS. If the machine of a writer
        vanishes, the server by itself finds out after two hours, and its locks stop all others.

        Raises ServiceAway if the database does not answer.
        """
        with unavailable_as_ours(), self.engine.connect() as connection, connection.begin():
            if not self.is_sqlite:
                timeout = f"idle_in_transaction_session_timeout = {WRITER_SECONDS * 1000:.0f}"
                connection.exec_driver_sql(f"SET LOCAL {timeout}")  # of this transaction alone
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One read transaction: a consistent view without locks. Raises ServiceAway like write."""
        with (
            unavailable_as_ours(),
            self.engine.connect().execution_options(overstory_read=True) as connection,
            connection.begin(),
        ):
            yield connection

    def is_read_only(self) -> bool:
        """Whether a PostgreSQL takes no writes now: a standby. Raises ServiceAway like read."""
        if self.is_sqlite:
            return False
        with self.read() as connection:
            return bool(connection.exec_driver_sql("SHOW transaction_read_only").scalar() == "on")

    def dispose(self) -> None:
        with self._lock:
            if self._engine is not None:
                self._engine.dispose()
                self._engine = None


@contextmanager
def unavailable_as_ours() -> Iterator[None]:
    """Turn errors of an unavailable database into ServiceAway (DatabaseUnusable if it lacks a
    right), and refusals of a statement (text or a number that it cannot store, a limit) into
    DatabaseRefused. Any other error is a bug."""
    try:
        yield
    except PoolTimeout as error:
        raise ServiceAway("the database does not answer: no free connection") from error
    except DBAPIError as error:
        state = getattr(error.orig, "sqlstate", None)
        if state == READ_ONLY:
            raise ServiceAway(f"{NO_WRITES} ({error.orig})") from error
        if state in MIXED_UP:
            reason = str(error.orig).partition("\n")[0]
            raise DatabaseUnusable(f"{NO_PREPARED} ({reason})") from error
        if state in NO_RIGHT:
            reason = str(error.orig).partition("\n")[0]
            raise DatabaseUnusable(f"{GRANT} ({reason})") from error
        if error.connection_invalidated:
            raise ServiceAway(f"the database connection broke: {error.orig}") from error
        if is_away(error):
            raise ServiceAway(f"the database does not answer: {error.orig}") from error
        if isinstance(error, (OperationalError, DataError)):
            reason = str(error.orig).partition("\n")[0]
            raise DatabaseRefused(f"the database refused a statement: {reason}") from error
        raise


def is_away(error: DBAPIError) -> bool:
    """Whether the same statement may succeed later, because the server's state has changed."""
    driver: Any = error.orig
    if not isinstance(error, OperationalError):  # a read-only PostgreSQL is an internal error
        return getattr(driver, "sqlstate", None) == READ_ONLY
    if hasattr(driver, "sqlstate"):  # none: there was no connection to get one from
        return driver.sqlstate is None or driver.sqlstate.startswith(AWAY_STATES)
    code = getattr(driver, "sqlite_errorname", None)
    return code is None or any(code == name or code.startswith(f"{name}_") for name in AWAY_CODES)


def make_engine(url: str) -> Engine:
    """An engine for ``url``. Raises WrongUsage for a URL that is invalid or not supported."""
    try:
        parsed = parse_url(url)
    except (ArgumentError, ValueError):  # SQLAlchemy reads the port as a number
        raise WrongUsage(
            "OVERSTORY_DATABASE_URL is not a SQLAlchemy URL: use sqlite:////path/file.db"
            " or postgresql://user:password@host:5432/name, several hosts separated by commas"
        ) from None
    if parsed.drivername in SCHEMES:
        return postgresql_engine(parsed)
    try:
        if parsed.get_backend_name() == "sqlite":
            return _sqlite(url)
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise WrongUsage(f"OVERSTORY_DATABASE_URL: {error}") from None
    raise WrongUsage(
        f"OVERSTORY_DATABASE_URL: {parsed.drivername} is not supported; use sqlite, or postgresql"
        " (with psycopg, which is installed)"
    )


def sqlite_url(file: Path) -> str:
    """The URL of a SQLite file, whatever characters its path has."""
    return URL.create("sqlite", database=str(file)).render_as_string()


def sqlite_file(url: str) -> Path | None:
    """The file of a SQLite URL; None for another database, for one in memory, and for what is not
    a URL (make_engine says why)."""
    try:
        parsed = parse_url(url)
    except (ArgumentError, ValueError):
        return None
    in_file = parsed.get_backend_name() == "sqlite" and parsed.database
    return Path(parsed.database or "") if in_file else None


def sqlite_module() -> ModuleType:
    """The SQLite driver: pysqlite3 if it is installed, because its SQLite has the WAL-reset bug
    fixed and most Pythons' has not; else the standard library's."""
    try:
        from pysqlite3 import dbapi2
    except ImportError:
        from sqlite3 import dbapi2
    return dbapi2  # type: ignore[no-any-return]


def sqlite_is_fixed(version: tuple[int, ...]) -> bool:
    """False if ``version`` has the rare WAL-reset bug (https://sqlite.org/wal.html)."""
    if version >= FIXED_IN[0]:
        return True
    return any(version[:2] == fixed[:2] and version >= fixed for fixed in FIXED_IN)


def _sqlite(url: str) -> Engine:
    engine = create_engine(
        url,
        module=sqlite_module(),
        connect_args={"timeout": SQLITE_BUSY_SECONDS, "check_same_thread": False},
        pool_size=5,
        max_overflow=100,
        hide_parameters=True,
    )

    @event.listens_for(engine, "connect")
    def _set_up(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # the driver must not begin transactions by itself
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=NORMAL")  # only a power failure can lose a commit
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        reading = connection.get_execution_options().get("overstory_read", False)
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine
