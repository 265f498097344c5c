"""Where the services are: what the settings say, else the embedded stack of OVERSTORY_HOME.

The embedded stack writes ``run/stack.json`` while it is up, so that any command with the same home
finds it: ``celery -A workers.app inspect active`` needs no setting.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from core.errors import ServiceAway
from core.settings import Settings

NOWHERE = "redis://127.0.0.1:6379/0"
"""Celery's own default: what a worker tries when there is neither a setting nor a stack."""


@dataclass(frozen=True, slots=True)
class Stack:
    """An embedded stack that is up: its broker's socket, process ids, and the sandbox if any.

    Under ``overstory up`` it is a service: its supervisor's process, and whose jobs it serves.
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
    """The stack that ``home`` says is up; whether it answers is for the caller to find out. Raises
    ServiceAway where the folder may not be looked into."""
    try:
        return Stack(**json.loads(stack_file(home).read_text("utf-8")))
    except (FileNotFoundError, NotADirectoryError, ValueError, TypeError):
        return None
    except OSError as error:
        raise _closed(home, error) from None


def write_stack(home: Path, stack: Stack) -> None:
    path = stack_file(home)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    partial.write_text(json.dumps(asdict(stack)), encoding="utf-8")
    partial.replace(path)


def broker_url(settings: Settings) -> str:
    """Celery's broker, and the home of the one result there is."""
    if settings.broker_url:
        return settings.broker_url
    stack = read_stack(settings.home)
    return f"redis+socket://{stack.socket}?virtual_host=0" if stack else NOWHERE


def limiter_url(settings: Settings) -> str:
    """The limiter's database: number 1 of the broker's server, out of a flush's way."""
    if settings.limiter_url:
        return settings.limiter_url
    if settings.broker_url:
        return _with_database(settings.broker_url, 1)
    return embedded_url(settings.home, 1) or _with_database(NOWHERE, 1)


def embedded_url(home: Path, number: int) -> str | None:
    """A database of the embedded server of ``home``, where there is one."""
    stack = read_stack(home)
    return f"unix://{stack.socket}?db={number}" if stack else None


def database_url(settings: Settings) -> str:
    """The database: what the settings say, else the home's own. A home that was once served by
    its own PostgreSQL (``overstory up --postgres``) keeps to it, for its jobs are there. Raises
    ServiceAway where the folder may not be looked into."""
    if settings.database_url:
        return settings.database_url
    try:
        return database_file(settings.home).read_text("utf-8").strip()
    except (FileNotFoundError, NotADirectoryError):
        return f"sqlite:///{settings.home / 'overstory.db'}"
    except OSError as error:
        raise _closed(settings.home, error) from None


def database_file(home: Path) -> Path:
    """Names the home's own database where that is no SQLite file."""
    return home / "database.url"


def _closed(home: Path, error: OSError) -> ServiceAway:
    return ServiceAway(
        f"the state folder {home} cannot be read: {error.strerror}; set OVERSTORY_HOME to a folder"
        " of yours, or mend the permissions"
    )


def _with_database(url: str, number: int) -> str:
    """``url`` with another database number: the path of a redis:// URL."""
    head, separator, query = url.partition("?")
    scheme, _, rest = head.partition("://")
    host = rest.split("/", 1)[0]
    return f"{scheme}://{host}/{number}{separator}{query}"
