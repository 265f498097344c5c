"""One machine, many users: what others planted or can reach is neither used nor changed."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from core.errors import ServiceAway, WrongUsage
from core.settings import load
from models.engine import Database
from overstory import cli
from overstory.doctor import machine
from overstory.doctor.context import Context
from overstory.doctor.finding import Level
from overstory.local.home import prepare_home
from overstory.local.servers import processes, valkey
from overstory.local.stack import LocalStack, served_by
from tests.support import jobs
from tests.support.strangers import NOBODY, as_nobody, mode, needs_root
from workers.endpoints import (
    Stack,
    broker_url,
    database_url,
    read_stack,
    stack_file,
    write_stack,
)

pytestmark = [
    pytest.mark.usefixtures("usual_umask"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

KEY = "a-key-of-somebody"
"""With a key no sandbox is started."""


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder in which every user may create files, like that for temporary files."""
    with tempfile.TemporaryDirectory(prefix="overstory-") as name:
        folder = Path(name)
        folder.chmod(0o1777)
        yield folder


def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: object
) -> tuple[int, str]:
    """The exit status of a command and what it writes to stderr."""
    monkeypatch.setattr(sys, "argv", ["overstory", *map(str, words)])
    status = 0
    try:
        cli.main()
    except SystemExit as ended:
        status = int(ended.code or 0)
    return status, capsys.readouterr().err


def listing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """What ``overstory jobs`` says on stderr."""
    return command(monkeypatch, capsys, "jobs")[1]


def open_places(home: Path) -> list[str]:
    """What in the home other users have rights to."""
    return [str(path) for path in (home, *home.rglob("*")) if mode(path) & 0o077]


# --- what we create, and what existed before


def test_a_home_that_a_command_creates_is_private(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert listing(monkeypatch, capsys) == ""
    assert (home / "overstory.db").exists()
    assert open_places(home) == []
    assert os.umask(0o022) == 0o022


def test_a_home_that_exists_loses_the_rights_of_others_and_its_parents_keep_theirs(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    listing(monkeypatch, capsys)
    (home / "spool").mkdir()
    (home / "overstory.db-shm").touch()
    (home / "logs" / "old.log").touch()
    (home / "logs" / "old.log").chmod(0o644)
    home.parent.chmod(0o755)
    for path in (home, home / "run", home / "blobs", home / "spool"):
        path.chmod(0o777)
    (home / "overstory.db").chmod(0o666)
    assert listing(monkeypatch, capsys) == ""
    for name in ("", "run", "logs", "blobs", "spool"):
        assert mode(home / name) == 0o700, name
    assert mode(home / "overstory.db") == 0o600
    assert mode(home / "logs" / "old.log") == 0o644
    assert mode(home.parent) == 0o755


def test_a_folder_with_other_things_keeps_its_mode_and_the_doctor_warns(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home.mkdir()
    home.chmod(0o755)
    (home / "index.html").touch()
    assert listing(monkeypatch, capsys) == ""
    assert mode(home) == 0o755
    assert mode(home / "run") == 0o700
    assert mode(home / "overstory.db") == 0o600
    finding = machine.home(Context.examine({}))
    assert finding.level == Level.WARNING
    assert f"other users of this machine can read or write {home}" in finding.says


def test_the_doctor_warns_of_an_open_home_and_changes_nothing(home: Path) -> None:
    prepare_home(home)
    assert machine.home(Context.examine({})).level == Level.OK
    home.chmod(0o750)
    (home / "blobs").chmod(0o755)
    finding = machine.home(Context.examine({}))
    assert finding.level == Level.WARNING
    assert str(home / "blobs") in finding.says
    assert (finding.do or "").startswith("chmod go= ")
    assert mode(home) == 0o750


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("report", "JOB", "-o"), "r.html"),
        (("export", "JOB", "-o"), "x.csv"),
        (("export", "JOB", "-o"), "x.jsonl"),
        (("export", "JOB", "-o"), "x.parquet"),
        (("prompts", "leaf", "--out"), "mine"),
    ],
)
def test_what_a_person_asks_for_has_the_rights_of_their_umask(
    own: Database,
    victim: Path,
    words: tuple[str, ...],
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    os.umask(0o027)
    job = jobs.submit(own)
    out = victim.parent / name
    # the name that an earlier version wrote under before it renamed the file
    out.with_name(f".{name}.{os.getpid()}.part").symlink_to(victim)
    given = [job if word == "JOB" else word for word in words]
    status, said = command(monkeypatch, capsys, *given, out)
    assert status == 0, said
    if out.is_dir():
        assert mode(out) == 0o750
        out = out / "leaf.txt"
    assert mode(out) == 0o640
    assert out.stat().st_size > 0


def test_a_program_that_only_imports_the_app_keeps_its_umask_and_a_worker_does_not() -> None:
    script = (
        "import os; os.umask(0o22); from workers.app import app; from celery import signals\n"
        "print(oct(os.umask(0o22))); signals.celeryd_init.send(sender=None)\n"
        "print(oct(os.umask(0o22)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.split() == ["0o22", "0o77"], done.stderr


# --- planted folders and links


@pytest.mark.parametrize("name", ["run", "logs", "blobs", "spool", "broker"])
def test_a_link_in_place_of_a_folder_is_refused(
    home: Path,
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    home.mkdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(0o755)
    (home / name).symlink_to(elsewhere)
    status, said = command(monkeypatch, capsys, "jobs")
    assert status == 1
    assert f"{home / name} is a link, which is not followed" in said
    assert not list(elsewhere.iterdir())
    assert mode(elsewhere) == 0o755


@pytest.mark.parametrize(
    "name",
    ["overstory.db", "overstory.db-wal", "run/start.lock", "logs/command.log", "blobs/ab"],
)
def test_a_link_in_the_home_is_not_followed(
    home: Path,
    victim: Path,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    prepare_home(home)
    (home / name).symlink_to(victim)
    status, said = command(monkeypatch, capsys, "jobs")
    assert status == 1
    assert f"{home / name} is a link, which is not followed" in said


@pytest.mark.parametrize(
    "name",
    [
        "run/start.lock",
        "run/users.lock",
        "run/stack.part",
        "broker/valkey.conf",
        "broker/valkey.log",
        "broker/appendonlydir",
        "logs/sandbox.log",
        "logs/sandbox.jsonl",
    ],
)
def test_a_link_where_a_part_writes_is_not_followed(home: Path, victim: Path, name: str) -> None:
    prepare_home(home)
    (home / "broker").mkdir(0o700)
    (home / name).symlink_to(victim)
    stack = LocalStack(load())
    with contextlib.ExitStack() as cleanup:
        cleanup.callback(stack.stop)
        with pytest.raises(ServiceAway, match="is a link, which is not followed"):
            stack.start()


def test_a_link_to_the_service_lock_is_not_followed(home: Path, victim: Path) -> None:
    prepare_home(home)
    (home / "run" / "service.lock").symlink_to(victim)
    done = subprocess.run(
        [sys.executable, "-m", "overstory", "down"], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "is a link, which is not followed" in done.stderr


@needs_root
def test_a_home_of_another_user_is_refused_and_keeps_its_owner(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home.mkdir(0o755)
    os.chown(home, NOBODY, NOBODY)
    status, said = command(monkeypatch, capsys, "jobs")
    assert status == 1
    assert f"{home} belongs to another user" in said
    assert (home.stat().st_uid, list(home.iterdir())) == (NOBODY, [])


@needs_root
def test_a_folder_that_another_user_made_for_us_is_refused(
    shared: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = shared / "home"
    home.mkdir()
    home.chmod(0o777)
    as_nobody(lambda: (home / "run").mkdir(0o777))
    status, said = command(monkeypatch, capsys, "jobs", "--home", home)
    assert status == 1
    assert f"{home / 'run'} belongs to another user" in said


def test_the_folder_for_everybodys_temporary_files_is_no_home(
    shared: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, said = command(monkeypatch, capsys, "jobs", "--home", shared)
    assert status == 1
    assert "is a folder for the files of everybody" in said
    assert mode(shared) == 0o1777
    assert not list(shared.iterdir())


# --- the record of what runs


@pytest.fixture
def recorded(home: Path) -> Stack:
    """A record of a broker at this home's usual socket."""
    prepare_home(home)
    stack = Stack(str(home / "run" / "valkey.sock"), 0)
    write_stack(home, stack)
    return stack


def test_a_record_is_private(recorded: Stack, home: Path) -> None:
    assert read_stack(home) == recorded
    assert mode(stack_file(home)) == 0o600


@pytest.mark.parametrize("rights", [0o644, 0o606, 0o660])
def test_a_record_that_others_can_reach_is_not_trusted(
    recorded: Stack, home: Path, rights: int
) -> None:
    stack_file(home).chmod(rights)
    with pytest.raises(ServiceAway, match=r"stack.json is open to other users.*delete the record"):
        broker_url(load())


def test_a_record_in_an_open_folder_is_not_trusted(recorded: Stack, home: Path) -> None:
    (home / "run").chmod(0o770)
    with pytest.raises(ServiceAway, match="run is open to other users"):
        broker_url(load())


def test_a_record_that_is_a_link_is_not_trusted(recorded: Stack, home: Path) -> None:
    stack_file(home).rename(home / "elsewhere")
    stack_file(home).symlink_to(home / "elsewhere")
    with pytest.raises(ServiceAway, match="is a link"):
        broker_url(load())


@needs_root
def test_a_record_of_another_user_is_not_trusted(recorded: Stack, home: Path) -> None:
    os.chown(stack_file(home), NOBODY, NOBODY)
    with pytest.raises(ServiceAway, match="belongs to another user"):
        broker_url(load())


@needs_root
def test_a_left_over_socket_that_another_user_serves_now_is_refused(
    recorded: Stack,
    home: Path,
    shared: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The folder was ours among the temporary files, and was deleted meanwhile."""
    folder = shared / "overstory-abcd"
    write_stack(home, replace(recorded, socket=str(folder / "valkey.sock")))

    def serve() -> None:
        folder.mkdir(0o755)
        served = socket.socket(socket.AF_UNIX)
        served.bind(str(folder / "valkey.sock"))
        (folder / "valkey.sock").chmod(0o777)

    as_nobody(serve)
    with pytest.raises(ServiceAway, match="overstory-abcd belongs to another user"):
        broker_url(load())
    status, said = command(monkeypatch, capsys, "run", "x.jpg", "--ask", "What?")
    assert status == 1
    assert "is not trusted" in said
    assert folder.stat().st_uid == NOBODY


@pytest.fixture
def embedded(home: Path) -> Iterator[LocalStack]:
    prepare_home(home)
    made = LocalStack(load(api_key=KEY))
    yield made
    made.stop()


@pytest.mark.slow
def test_another_server_at_the_recorded_socket_is_refused(embedded: LocalStack, home: Path) -> None:
    embedded.start()
    stack = read_stack(home)
    assert stack is not None
    write_stack(home, replace(stack, broker_run="0" * 40))
    other = LocalStack(load(api_key=KEY))
    with pytest.raises(ServiceAway, match="served by another server"):
        other.start()
    write_stack(home, stack)


@pytest.mark.slow
def test_a_long_home_has_a_socket_with_a_name_that_nobody_knows_before(
    home: Path, monkeypatch: pytest.MonkeyPatch, shared: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(shared))
    long = home / ("a-long-name" * 9)
    prepare_home(long)
    names = set()
    for _ in range(2):
        stack = LocalStack(load(api_key=KEY, home=long))
        stack.start()
        record = read_stack(long)
        assert record is not None
        folder = Path(record.socket).parent
        assert folder.parent == shared
        assert mode(folder) == 0o700
        names.add(folder.name)
        stack.stop()
        assert not folder.exists()
    assert len(names) == 2


def test_the_folder_of_a_lost_socket_is_made_again_or_refused(home: Path, shared: Path) -> None:
    before = shared / "overstory-abcd" / "valkey.sock"
    assert valkey.usable_socket(home, str(before)) == str(before)
    assert mode(before.parent) == 0o700
    gone = home / "moved" / "run" / "valkey.sock"
    assert valkey.usable_socket(home, str(gone)) != str(gone)


@needs_root
def test_a_process_of_another_user_with_our_words_is_not_ours(home: Path) -> None:
    words = ["/bin/sh", "-c", "read line # overstory up"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, user=NOBODY) as stranger:
        prepare_home(home)
        stack = Stack(str(home / "run" / "valkey.sock"), 0, service_pid=stranger.pid)
        write_stack(home, stack)
        assert served_by(home) is None
        assert not processes.end(stranger.pid, "overstory up")
        assert stranger.poll() is None
        stranger.communicate(b"x\n")


def test_a_process_that_started_at_another_time_is_not_the_recorded_one() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        born = processes.born(process.pid)
        assert born is not None
        assert processes.lives(process.pid, "input", since=born)
        assert not processes.lives(process.pid, "input", since=born + 1)
        assert not processes.end(process.pid, "input", since=born + 1)
        process.communicate(b"x\n")
    assert processes.born(process.pid) is None
    assert psutil.pid_exists(os.getpid())


# --- a home that used ``up --postgres``


@pytest.mark.parametrize(
    "words", [("jobs",), ("run", "x.jpg", "--ask", "What?"), ("up",), ("up", "--detach")]
)
def test_a_home_with_its_own_postgresql_is_told_how_to_go_on(
    home: Path,
    words: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    prepare_home(home)
    (home / "database.url").write_text("postgresql+psycopg://overstory@/overstory?host=/x")
    status, said = command(monkeypatch, capsys, *words)
    assert status == 2
    [line] = said.splitlines()
    assert f"its data folder {home / 'postgres'}" in line
    assert "OVERSTORY_DATABASE_URL" in line
    assert not (home / "overstory.db").exists()


def test_a_home_that_used_postgresql_goes_on_with_a_url(home: Path) -> None:
    prepare_home(home)
    (home / "database.url").touch()
    with pytest.raises(WrongUsage, match=r"docs/service\.md"):
        database_url(load())
    assert database_url(load(database_url="postgresql://me@/db")) == "postgresql://me@/db"


def test_up_has_no_postgres_option(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, said = command(monkeypatch, capsys, "up", "--postgres")
    assert status == 2
    assert "No such option" in said
