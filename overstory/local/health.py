"""Whether the parts of a service that was just started are healthy: each answers for itself."""

from __future__ import annotations

import contextlib
import http.client
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clients import private_files
from clients.redis import REDIS_ERRORS

HEALTHY_SECONDS = 90.0
"""A slow machine under load needs half a minute."""
PING_SECONDS = 1.0


def beat_file(home: Path) -> Path:
    """The file that the reconciler of this machine touches after each round."""
    return home / "run" / f"reconciler-{socket.gethostname()}.beat"


def healthy_file(home: Path) -> Path:
    """The file with the process id of the service whose parts have all answered."""
    return home / "run" / "service.healthy"


def is_healthy(home: Path, pid: int) -> bool:
    """Whether the service with ``pid`` has come up."""
    try:
        return private_files.read(healthy_file(home)) == str(pid)
    except OSError:
        return False


@dataclass(slots=True)
class Health:
    """Asks the parts until each has answered once. ``workers``: names of the workers."""

    app: Any
    workers: Sequence[str]
    home: Path
    flower_port: int | None
    api_port: int | None
    started: float = field(default_factory=time.time)
    answered: set[str] = field(default_factory=set)

    def missing(self) -> list[str]:
        """Parts that have not answered yet; takes up to PING_SECONDS."""
        if "reconciler" not in self.answered and self._beats():
            self.answered.add("reconciler")
        pages = {
            "flower": (self.flower_port, "/healthcheck"),
            "api": (self.api_port, "/api/health"),
        }
        for part, (port, path) in pages.items():
            if port is not None and part not in self.answered and _answers(port, path):
                self.answered.add(part)
        if not self.answered.issuperset(self.workers):
            self.answered |= self._ping() & set(self.workers)
        served = [part for part, (port, _) in pages.items() if port is not None]
        parts = [*self.workers, "reconciler", *served]
        return [part.partition("@")[0] for part in parts if part not in self.answered]

    def _ping(self) -> set[str]:
        with contextlib.suppress(*REDIS_ERRORS, OSError):
            answers = self.app.control.broadcast(
                "ping", reply=True, timeout=PING_SECONDS, limit=len(self.workers)
            )
            return {name for answer in answers or () for name in answer}
        return set()

    def _beats(self) -> bool:
        try:
            return beat_file(self.home).lstat().st_mtime >= self.started
        except FileNotFoundError:
            return False


def _answers(port: int, path: str) -> bool:
    """Whether a server of this machine answers for itself."""
    asking = http.client.HTTPConnection("127.0.0.1", port, timeout=PING_SECONDS)
    try:
        asking.request("GET", path)
        return asking.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        asking.close()


def worker_name(name: str) -> str:
    """The name under which a worker of this machine answers."""
    return f"{name}@{socket.gethostname()}"
