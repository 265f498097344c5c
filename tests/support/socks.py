"""A SOCKS 5 proxy, as a VPN client runs one on the machine. It resolves every name to one place."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress


class SocksProxy:
    """Connects every request to ``port`` of this machine. ``asked``: the hosts that it was asked
    for. ``silent``: takes connections and never answers."""

    def __init__(self, port: int, silent: bool = False) -> None:
        self.asked: list[str] = []
        self._target = port
        self._silent = silent
        self._waiting: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()
        for client in self._waiting:
            client.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self._silent:
                    self._waiting.append(client)
                else:
                    threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with closing(client), suppress(OSError, IndexError):
            count = client.recv(2)[1]
            client.recv(count)
            client.sendall(b"\5\0")  # no user and no password
            kind = client.recv(4)[3]
            if kind == 1:
                host = socket.inet_ntoa(client.recv(4))
            else:
                host = client.recv(client.recv(1)[0]).decode()
            client.recv(2)
            self.asked.append(host)
            with socket.create_connection(("127.0.0.1", self._target)) as server:
                client.sendall(b"\5\0\0\1" + bytes(6))
                back = threading.Thread(target=_pass_on, args=(server, client), daemon=True)
                back.start()
                _pass_on(client, server)
                back.join()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@contextmanager
def socks_proxy(port: int = 0, silent: bool = False) -> Iterator[SocksProxy]:
    proxy = SocksProxy(port, silent)
    try:
        yield proxy
    finally:
        proxy.close()
