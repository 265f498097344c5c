"""URLs of broker, limiter and database: from the settings, else from the embedded stack.

The embedded stack keeps ``run/stack.json`` while it is up, so any command with the same home finds
it: ``celery -A workers.app inspect active`` needs no setting.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from core.errors import ServiceAway
from core.settings import Settings

NOWHERE = "redis://127.0.0.1:6379/0"
"""Celery's default broker: used if there is neither a setting nor a stack."""


@dataclass(frozen=True, slots=True)
class Stack:
    """An embedded stack that is up: the broker's socket, process ids, the sandbox if any.

    ``service_*`` and ``flower_url`` are set under ``overstory up``: its supervisor, and the account
    whose jobs it serves.
    """

    socket: str
    broker_pid: int
    sandbox_url: str | None = None
    sandbox_pid: int | None = None
    service_pid: int | None = None
    service_account: str | None = None
    flower_url: str | None = None


def stack_file(home: Path) -> Path:
    return home / "run" / "stack.json"


def read_stack(home: Path) -> Stack | None:
    """The stack on record in ``home``; the caller checks whether it answers. Raises ServiceAway if
    the folder cannot be read."""
    try:
        return Stack(**json.loads(stack_file(home).read_text("utf-8")))
    except (FileNotFoundError, NotADirectoryError, ValueError, TypeError):
        return None
    except OSError as error:
        raise _unreadable(home, error) from None


def write_stack(home: Path, stack: Stack) -> None:
    path = stack_file(home)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    partial.write_text(json.dumps(asdict(stack)), encoding="utf-8")
    partial.replace(path)


def broker_url(settings: Settings) -> str:
    """The URL of Celery's broker and result backend."""
    if settings.broker_url:
        return settings.broker_url
    stack = read_stack(settings.home)
    return f"redis+socket://{stack.socket}?virtual_host=0" if stack else NOWHERE


def limiter_url(settings: Settings) -> str:
    """The URL of the limiter's Redis. Default: database 1 of the broker's server, which a flush of
    the broker's database keeps."""
    if settings.limiter_url:
        return settings.limiter_url
    if settings.broker_url:
        return _with_database(settings.broker_url, 1)
    return embedded_url(settings.home, 1) or _with_database(NOWHERE, 1)


def embedded_url(home: Path, number: int) -> str | None:
    """Database ``number`` of the embedded Valkey of ``home``, or None if it has none."""
    stack = read_stack(home)
    return f"unix://{stack.socket}?db={number}" if stack else None


def database_url(settings: Settings) -> str:
    """The URL of the database: from the settings, else the home's own. A home that has used its
    own PostgreSQL (``overstory up --postgres``) keeps it, because its jobs are there. Raises
    ServiceAway if the folder cannot be read."""
    if settings.database_url:
        return settings.database_url
    try:
        return database_file(settings.home).read_text("utf-8").strip()
    except (FileNotFoundError, NotADirectoryError):
        return f"sqlite:///{settings.home / 'overstory.db'}"
    except OSError as error:
        raise _unreadable(settings.home, error) from None


def database_file(home: Path) -> Path:
    """A file with the URL of the home's own PostgreSQL. Without it the home uses SQLite."""
    return home / "database.url"


def _unreadable(home: Path, error: OSError) -> ServiceAway:
    return ServiceAway(
        f"the state folder {home} cannot be read: {error.strerror}; set OVERSTORY_HOME to a folder"
        " of yours, or fix its permissions"
    )


def _with_database(url: str, number: int) -> str:
    """``url`` with another database number, which is the path of a redis:// URL."""
    head, separator, query = url.partition("?")
    scheme, _, rest = head.partition("://")
    host = rest.split("/", 1)[0]
    return f"{scheme}://{host}/{number}{separator}{query}"
