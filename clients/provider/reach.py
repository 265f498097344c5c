"""Checks that an endpoint is reachable: opens and closes a TCP connection.

That takes a millisecond, while loading the SDK takes a quarter of a second. It ignores proxies, so
ask the SDK if there is one, and confirm a failure with the SDK.
"""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

SECONDS = 3.0
PORTS = {"http": 80, "https": 443}


def is_reached(url: str, seconds: float = SECONDS) -> bool:
    """Whether the host and port of ``url`` accept a connection within ``seconds``."""
    try:
        parts = urlsplit(url)
        port = parts.port or PORTS.get(parts.scheme, 0)
    except ValueError:
        return False
    return takes_connections(parts.hostname or "", port, seconds)


def takes_connections(host: str, port: int, seconds: float = SECONDS) -> bool:
    """Whether ``host`` accepts a connection at ``port`` within ``seconds``."""
    try:
        with socket.create_connection((host, port), timeout=seconds):
            return True
    except OSError:
        return False
