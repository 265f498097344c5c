"""The decoding process: ``python -m clients.images.decoder_child DESCRIPTOR MEMORY_BYTES``.

It is started with an empty environment, confines itself, and then serves one request after another:
an open file comes with each, and a prepared picture or a refusal goes back. It ends with its
socket.
"""

from __future__ import annotations

import os
import socket
import sys
from dataclasses import asdict
from typing import Any

from clients.images import confinement, prepare
from clients.images.frames import HEADER_MAX, Ended, encoded, received
from clients.images.pillow import thumbnail, warm
from core.catalog.formulas import SentSizes
from core.errors import ImageRefused
from core.images.sizing import ImageLimits


def main(descriptor: int, memory_bytes: int) -> None:
    warm()
    with socket.socket(fileno=descriptor) as connection:
        in_force = confinement.confine(memory_bytes)
        connection.sendall(b"".join(encoded({"in_force": in_force})))
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
    main(int(sys.argv[1]), int(sys.argv[2]))
    os._exit(0)  # decoders need no goodbye
