"""A real PgBouncer, where the machine has one."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

from tests.support.cluster import OWNER
from tests.support.faults.servers import START_SECONDS, until
from tests.support.ports import free_port
from tests.support.postgres import as_user, server_user

PLACES = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin:/usr/local/sbin"
CONFIG = """\
[databases]
{owner} = host=127.0.0.1 port={server} dbname={owner} user={owner}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
default_pool_size = {size}
query_wait_timeout = {wait}
max_client_conn = 200
server_login_retry = 1
logfile = {folder}/bouncer.log
"""


def program() -> str | None:
    return shutil.which("pgbouncer", path=PLACES)


class Bouncer:
    """PgBouncer before the server at a port. ``size``: connections that it opens to the server."""

    def __init__(
        self, folder: Path, server: int, mode: str = "transaction", size: int = 4, wait: int = 120
    ) -> None:
        folder.mkdir()
        self.port = free_port()
        self._config = folder / "pgbouncer.ini"
        self._values = {
            "mode": mode,
            "size": size,
            "wait": wait,
            "port": self.port,
            "folder": folder,
            "owner": OWNER,
        }
        self._write(server)
        if (user := server_user()) is not None:
            for path in (folder, self._config):
                shutil.chown(path, user)
        self._process: subprocess.Popen[bytes] | None = None

    def _write(self, server: int) -> None:
        self._config.write_text(CONFIG.format(server=server, **self._values), encoding="utf-8")

    def point_to(self, server: int) -> None:
        """Let it connect to the server at another port from now on (RELOAD)."""
        assert self._process is not None, "it runs"
        self._write(server)
        self._process.send_signal(signal.SIGHUP)

    @property
    def url(self) -> str:
        return f"postgresql://{OWNER}@127.0.0.1:{self.port}/{OWNER}"

    def start(self) -> None:
        words = [str(program()), "-q", str(self._config)]
        self._process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **as_user(server_user()),
        )
        until(self._listens, START_SECONDS, "pgbouncer listens")

    def kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGKILL)
            process.wait()

    def _listens(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1.0):
            return True
        return False
