"""URLs of broker, limiter and database: from the settings, else from the embedded stack.

The embedded stack keeps ``run/stack.json`` while it is up, so any command with the same home finds
it: ``celery -A workers.app inspect active`` needs no setting. The file and the socket that it names
are used only if no other user can have made them.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from clients import private_files
from clients.private_files import NotOurs
from core.errors import ServiceAway, WrongUsage
from core.redis_address import RedisAddress, parse
from core.settings import Settings

NOWHERE = "redis://127.0.0.1:1/0"
"""Used if there is neither a setting nor a stack: nobody listens there. At the usual port another
program may have its Redis, and nothing of ours belongs into it."""


@dataclass(frozen=True, slots=True)
class Stack:
    """An embedded stack that is up: the broker's socket, process ids, the sandbox if any.

    ``service_*`` and the other URLs are set under ``overstory up``: its supervisor, and the account
    whose jobs it serves. ``*_born``: when the process started (servers.processes.born), because its
    id may be given to another. ``broker_run``: the run id that only our Valkey has.
    """

    socket: str
    broker_pid: int
    sandbox_url: str | None = None
    sandbox_pid: int | None = None
    service_pid: int | None = None
    service_account: str | None = None
    flower_url: str | None = None
    api_url: str | None = None
    broker_run: str | None = None
    broker_born: int | None = None
    sandbox_born: int | None = None
    service_born: int | None = None


def stack_file(home: Path) -> Path:
    return home / "run" / "stack.json"


def read_stack(home: Path) -> Stack | None:
    """The stack on record in ``home``; the caller checks whether it answers. Raises ServiceAway if
    the folder cannot be read, or if another user can have made the record or the socket."""
    path = stack_file(home)
    try:
        stack = Stack(**json.loads(private_files.read(path)))
        private_files.check_socket(Path(stack.socket))
    except NotOurs as error:
        raise ServiceAway(
            f"the record of what runs, {path}, is not trusted: {error}; delete the record if no run"
            " and no service of this home is up"
        ) from None
    except (FileNotFoundError, NotADirectoryError, ValueError, TypeError):
        return None
    except OSError as error:
        raise _unreadable(home, error) from None
    return stack


def write_stack(home: Path, stack: Stack) -> None:
    path = stack_file(home)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    private_files.write(path, json.dumps(asdict(stack)))


def broker_address(settings: Settings) -> RedisAddress:
    """Where the queues are. Raises WrongUsage for a URL that names no Redis."""
    if settings.broker_url:
        return _parsed("OVERSTORY_BROKER_URL", settings.broker_url)
    stack = read_stack(settings.home)
    return RedisAddress(path=stack.socket) if stack else parse(NOWHERE)


def broker_url(settings: Settings) -> str:
    """The URL of Celery's broker and result backend, for apps that know no other setting."""
    return broker_address(settings).celery_url()


def limiter_address(settings: Settings) -> RedisAddress:
    """Where the limiter is. Default: database 1 of the broker's server, which a flush of the
    broker's database keeps. Raises WrongUsage for a URL that names no Redis."""
    if settings.limiter_url:
        return _parsed("OVERSTORY_LIMITER_URL", settings.limiter_url)
    return broker_address(settings).with_database(1)


def limiter_url(settings: Settings) -> str:
    """The URL of the limiter's Redis."""
    return limiter_address(settings).url()


def celery_connection(settings: Settings) -> dict[str, Any]:
    """The part of a Celery app's configuration that reaches the broker and the results.

    Celery and kombu verify TLS only where they are told to, and know a sentinel's primary only from
    an option; so everything that the URL says is spelled out for each of them.
    """
    address = broker_address(settings)
    options: dict[str, Any] = {"socket_timeout": 5, "socket_connect_timeout": 3}
    if address.master_name is not None:
        guide = {"username": address.sentinel_username, "password": address.sentinel_password}
        encrypted = {"ssl": True, **address.tls.options()} if address.tls else {}
        options |= {
            "master_name": address.master_name,
            "sentinel_kwargs": {**options, **guide, **encrypted},
        }
    tls = address.tls.options() if address.tls else None
    return {
        "broker_url": address.celery_url(),
        "result_backend": address.celery_url(),
        "broker_transport_options": options,
        "result_backend_transport_options": options,
        "broker_use_ssl": tls,
        "redis_backend_use_ssl": tls,
    }


def _parsed(name: str, url: str) -> RedisAddress:
    try:
        return parse(url)
    except ValueError as error:
        raise WrongUsage(f"wrong setting: {name}: {error}") from None


def embedded_url(home: Path, number: int) -> str | None:
    """Database ``number`` of the embedded Valkey of ``home``, or None if it has none."""
    stack = read_stack(home)
    return RedisAddress(path=stack.socket, database=number).url() if stack else None


def socket_url(socket: str) -> str:
    """The URL of the Redis or Valkey that listens on a Unix socket."""
    return RedisAddress(path=socket).url()


def database_url(settings: Settings) -> str:
    """The URL of the database: from the settings, else the home's SQLite file. Raises WrongUsage if
    the home's jobs are in a PostgreSQL of an earlier version, ServiceAway if the folder cannot be
    read."""
    if settings.database_url:
        return settings.database_url
    try:
        (settings.home / EARLIER_DATABASE).lstat()
    except (FileNotFoundError, NotADirectoryError):
        from models.engine import sqlite_url  # SQLAlchemy takes a while; most callers need none

        return sqlite_url(settings.home / "overstory.db")
    except OSError as error:
        raise _unreadable(settings.home, error) from None
    raise WrongUsage(used_postgres(settings.home))


EARLIER_DATABASE = "database.url"
"""The file that ``overstory up --postgres`` of version 0.2.0 left in a home."""


def used_postgres(home: Path) -> str:
    """How to go on with a home whose jobs are in a PostgreSQL that we do not run any more."""
    return (
        f"the jobs of {home} are in its own PostgreSQL 18, which 'overstory up' does not run any"
        f" more: start a PostgreSQL 18 of yours on its data folder {home / 'postgres'}, or dump it"
        " there and restore it elsewhere, and set OVERSTORY_DATABASE_URL (docs/service.md, A home"
        f" that used --postgres); to begin anew with SQLite, delete {home / EARLIER_DATABASE}"
    )


def _unreadable(home: Path, error: OSError) -> ServiceAway:
    return ServiceAway(
        f"the state folder {home} cannot be read: {error.strerror}; set OVERSTORY_HOME to a folder"
        " of yours, or fix its permissions"
    )
