"""Messages between a process and its decoder: a header of JSON, then bytes.

Both are bounded and neither is executed: what the other side decodes may have taken it over.
"""

from __future__ import annotations

import json
import socket
import struct
from typing import Any

HEADER_MAX = 1_000_000
DATA_MAX = 64_000_000
"""Above the largest prepared picture: 3,024 x 3,024 pixels in JPEG, or a page as it was sent."""
_SIZES = struct.Struct("!II")


class Ended(Exception):
    """The other side is gone, or says what it must not say."""


def encoded(header: dict[str, Any], data: bytes = b"") -> list[bytes]:
    """The parts of a message."""
    text = json.dumps(header).encode()
    return [_SIZES.pack(len(text), len(data)), text, data]


def received(connection: socket.socket) -> tuple[dict[str, Any], bytes]:
    """The next message. Raises Ended; TimeoutError by the socket's timeout."""
    header_size, data_size = _SIZES.unpack(_exactly(connection, _SIZES.size))
    if header_size > HEADER_MAX or data_size > DATA_MAX:
        raise Ended("a message is too long")
    try:
        header = json.loads(_exactly(connection, header_size))
    except (ValueError, RecursionError):
        raise Ended("a message is not JSON") from None
    if not isinstance(header, dict):
        raise Ended("a message has no header")
    return header, _exactly(connection, data_size)


def _exactly(connection: socket.socket, size: int) -> bytes:
    buffer = bytearray(size)
    view = memoryview(buffer)
    while view:
        try:
            taken = connection.recv_into(view)
        except ConnectionError:
            taken = 0
        if not taken:
            raise Ended("the other side is gone")
        view = view[taken:]
    return bytes(buffer)
