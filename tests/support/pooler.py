"""A pooler in transaction mode, like PgBouncer: each transaction gets another server connection.

It holds a few connections to a PostgreSQL that trusts its socket, and hands them out in turn. As
PgBouncer does, it refuses startup parameters that would belong to a session.
"""

from __future__ import annotations

import queue
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from sqlalchemy import make_url

CANCEL, SSL, GSS = 80877102, 80877103, 80877104
STARTUP = {b"user", b"database", b"client_encoding", b"application_name", b"TimeZone", b"DateStyle"}
"""What PgBouncer takes at a start, beside what ``ignore_startup_parameters`` names."""
IDLE = b"I"
"""The status in ReadyForQuery outside of a transaction."""


class Closed(Exception):
    """The other side has closed the connection."""


class Pooler:
    """Serves the database at ``url`` at ``self.url`` over ``size`` server connections."""

    def __init__(self, url: str, size: int) -> None:
        target = make_url(url)
        self._path = str(Path(str(target.query["host"])) / ".s.PGSQL.5432")
        self._greeting = b""
        self._servers: queue.Queue[socket.socket] = queue.Queue()  # those that are free
        self._connections: list[socket.socket] = []
        names = {"user": target.username, "database": target.database, "client_encoding": "UTF8"}
        for _ in range(size):
            self._servers.put(self._connected({k: str(v) for k, v in names.items()}))
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        self.url = f"postgresql://{target.username}@127.0.0.1:{port}/{target.database}"
        self.transactions = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Close all connections, also of a transaction that has not ended."""
        self._listener.close()
        for server in self._connections:
            server.close()

    def _connected(self, names: dict[str, str]) -> socket.socket:
        server = socket.socket(socket.AF_UNIX)
        self._connections.append(server)
        server.connect(self._path)
        pairs = b"".join(f"{name}\0{value}\0".encode() for name, value in names.items())
        server.sendall(struct.pack("!ii", len(pairs) + 9, 3 << 16) + pairs + b"\0")
        self._greeting = b"".join(iter(lambda: _message(server), b"Z\0\0\0\5" + IDLE))
        return server

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with closing(client):
            try:
                if self._greeted(client):
                    while True:
                        self._transaction(client, _message(client))
            except (Closed, OSError):
                return

    def _greeted(self, client: socket.socket) -> bool:
        names = _startup(client)
        if names is None:
            return False
        refused = names - STARTUP
        if refused:
            client.sendall(_error(b"unsupported startup parameter: " + b",".join(refused)))
            return False
        client.sendall(self._greeting + b"Z\0\0\0\5" + IDLE)
        return True

    def _transaction(self, client: socket.socket, first: bytes) -> None:
        """Forward ``first`` and what follows to one server, until its transaction has ended."""
        if first[:1] == b"X":
            raise Closed
        server = self._servers.get()
        try:
            message = first
            while True:
                server.sendall(message)
                if message[:1] in (b"S", b"Q") and self._answered(server, client):
                    return
                message = _message(client)
        finally:
            self.transactions += 1
            self._servers.put(server)

    def _answered(self, server: socket.socket, client: socket.socket) -> bool:
        """Pass on the server's replies to one Sync or Query. Whether no transaction is open."""
        while True:
            reply = _message(server)
            client.sendall(reply)
            if reply[:1] == b"Z":
                return reply[-1:] == IDLE


def _startup(client: socket.socket) -> set[bytes] | None:
    """The names of a client's startup parameters. None if it wants to cancel a statement."""
    while True:
        (length,) = struct.unpack("!i", _exactly(client, 4))
        body = _exactly(client, length - 4)
        (code,) = struct.unpack("!i", body[:4])
        if code not in (SSL, GSS):
            return None if code == CANCEL else set(body[4:].split(b"\0")[:-2:2])
        client.sendall(b"N")


def _error(text: bytes) -> bytes:
    fields = b"SFATAL\0C08P01\0M" + text + b"\0\0"
    return b"E" + struct.pack("!i", len(fields) + 4) + fields


def _message(source: socket.socket) -> bytes:
    head = _exactly(source, 5)
    return head + _exactly(source, struct.unpack("!i", head[1:])[0] - 4)


def _exactly(source: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = source.recv(size - len(data))
        if not more:
            raise Closed
        data += more
    return data


@contextmanager
def pooling(url: str, size: int = 3) -> Iterator[Pooler]:
    pooler = Pooler(url, size)
    try:
        yield pooler
    finally:
        pooler.close()


@contextmanager
def refusing(text: str) -> Iterator[int]:
    """The port of a server that refuses every connection with ``text``."""

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with closing(client), suppress(Closed, OSError):
                _startup(client)
                client.sendall(_error(text.encode()))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
