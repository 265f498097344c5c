"""Flower without a password answers only to names of this machine.

A web page of a stranger may give its own name the address 127.0.0.1 and then read the dashboard
through the browser of a person on this machine (DNS rebinding). The browser sends that name in the
header Host, so Flower answers only to names that cannot be a stranger's. With a password it answers
to every name, because a browser sends the password of another name to nobody.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection
from typing import Any

import tornado.web
from flower.app import Flower

from core.settings import EXAMPLE_PASSWORD

LOOPBACK = ("localhost", "127.0.0.1", "::1", "[::1]")
DEFAULT_PORTS = ("80", "443")
"""A browser leaves them out."""


class Refused(tornado.web.RequestHandler):
    """The answer to a name that may be a stranger's."""

    def prepare(self) -> None:
        self.set_status(403)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(
            "Flower has no password, so it answers only as localhost or 127.0.0.1 with its port."
            " Set FLOWER_BASIC_AUTH=user:password, or name the host in OVERSTORY_FLOWER_HOSTS.\n"
        )


def allowed(host: str, port: int, names: Collection[str]) -> bool:
    """Whether the header ``host`` names this machine, with Flower's port, or is one of ``names``,
    which may have a port."""
    host = host.lower()
    name, _, number = host.rpartition(":")
    numbers: Collection[str] = (number,)
    if not number.isdigit():
        name, numbers = host, DEFAULT_PORTS
    given = {known.lower() for known in names}
    return host in given or name in given or (name in LOOPBACK and str(port) in numbers)


def check_hosts(names: Collection[str]) -> None:
    """From now on, refuse requests to Flower by other names, unless it has a password."""
    routed = Flower.find_handler

    def find_handler(self: Any, request: Any, **others: Any) -> Any:
        options = self.options
        secured = options.basic_auth or options.auth or options.unix_socket
        if secured or options.port == 0 or allowed(request.host, options.port, names):
            return routed(self, request, **others)
        return self.get_handler_delegate(request, Refused)

    Flower.find_handler = find_handler


def check_password() -> None:
    """End with a sentence if the password of Flower is the one of our example."""
    if EXAMPLE_PASSWORD.search(os.environ.get("FLOWER_BASIC_AUTH", "")):
        sys.exit(
            "overstory: FLOWER_BASIC_AUTH: its password is the one of the example: set"
            " FLOWER_PASSWORD in .env"
        )
