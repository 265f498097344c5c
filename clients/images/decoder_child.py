"""The decoding process: ``python -m clients.images.decoder_child DESCRIPTOR``.

It is started with an empty environment and forks a process for each order
(``clients.images.decoder_source``). That one confines itself, and then serves one request after
another: an open file comes with each, and a prepared picture or a refusal goes back. Both end with
their sockets.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from clients.images import confinement, prepare
from clients.images.decoder_source import FORKS, ORDER
from clients.images.frames import HEADER_MAX, Ended, encoded, received
from clients.images.pillow import thumbnail, warm
from core.catalog.formulas import SentSizes
from core.errors import ImageRefused
from core.images.sizing import ImageLimits


def main(descriptor: int) -> None:
    """Load the decoders, then start a process for each order."""
    confinement.hide()  # from its own forks, which a picture may take over
    warm()
    gc.freeze()  # else each fork copies the memory of all objects
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the forks
    with socket.socket(fileno=descriptor) as orders:
        while True:
            order, files, _, _ = socket.recv_fds(orders, ORDER.size, 1)
            if not files:
                return
            if FORKS and not _is_fork():
                os.close(files[0])
                continue
            orders.close()
            serve(files[0], *ORDER.unpack(order))
            return


def _is_fork() -> bool:
    """Fork. False in the source, also if there is no room for a process: then the socket of the
    order is closed, which tells that no process was started."""
    with suppress(OSError):
        return os.fork() == 0
    return False


def serve(descriptor: int, memory_bytes: int) -> None:
    """Confine this process, then serve requests until the socket ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with socket.socket(fileno=descriptor) as connection:
        in_force = confinement.confine(memory_bytes)
        connection.sendall(b"".join(encoded({"in_force": in_force, "pid": os.getpid()})))
        while True:
            try:
                request, file = _next(connection)
            except Ended:
                return
            header, data = _served(request, file)
            for part in encoded(header, data):
                connection.sendall(part)


def _next(connection: socket.socket) -> tuple[dict[str, Any], int]:
    """A request and the descriptor of its file, which comes with its first byte."""
    first, files, _, _ = socket.recv_fds(connection, 1, 1)
    if not first or not files:
        raise Ended("no request")
    request, _ = received(connection)
    return request, files[0]


def _served(request: dict[str, Any], descriptor: int) -> tuple[dict[str, Any], bytes]:
    confinement.limit_cpu(float(request["seconds"]))
    limits = ImageLimits(**request["limits"])
    with open(descriptor, "rb") as file:
        try:
            match request["wants"]:
                case "pages":
                    return {"pages": prepare.pages_of(file, request["size"], limits)}, b""
                case "measure":
                    page = request["page"]
                    sides = prepare.measure(file, request["size"], limits, page)
                    return {"sides": list(sides)}, b""
                case "facts":
                    return {"facts": prepare.recorded(file, request["size"], limits)}, b""
                case "thumbnail":
                    small = thumbnail(file.read(), request["longest"], request["quality"])
                    return {}, small or b""
            prepared = prepare.prepare_file(
                file,
                request["size"],
                request["detail"],
                limits,
                request["page"],
                request["accelerator"],
                request["no_webp"],
                SentSizes.from_json(request["sizes"]),
                request["compares"],
            )
        except ImageRefused as error:
            return {"code": str(error.code), "reason": error.reason[: HEADER_MAX // 10]}, b""
    facts = asdict(prepared)
    data = facts.pop("data")
    return {"prepared": facts}, data


if __name__ == "__main__":
    main(int(sys.argv[1]))
    os._exit(0)  # decoders need no goodbye
