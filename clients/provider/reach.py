"""Checks that an endpoint is reachable: opens and closes a TCP connection.

That takes a millisecond, while loading the SDK takes a quarter of a second. It ignores proxies, so
confirm a failure with the SDK.
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
        address = (parts.hostname or "", parts.port or PORTS.get(parts.scheme, 0))
        with socket.create_connection(address, timeout=seconds):
            return True
    except (OSError, ValueError):
        return False
