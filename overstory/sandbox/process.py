"""A sandbox in its own process, for demos, benchmarks and tests."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Protocol, Self

from core.errors import ServiceAway
from overstory.sandbox.command import PARENT_VARIABLE

START_SECONDS = 30.0
STOP_SECONDS = 5.0
ADMIN_SECONDS = 10.0


class RunningProcess(Protocol):
    """The part of ``subprocess.Popen`` that is used; ``stdout`` is in bytes."""

    pid: int
    stdout: IO[bytes] | None

    def terminate(self) -> None: ...
    def kill(self) -> None: ...
    def wait(self, timeout: float | None = None) -> int: ...


class SandboxProcess:
    """``python -m overstory.sandbox`` on a free port, while the ``with`` block lasts.

    ``config`` are fields of SandboxConfig. Without ``ledger`` it writes a temporary ledger. It also
    ends when the process that started it is gone.
    """

    def __init__(self, ledger: Path | None = None, port: int = 0, **config: object) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="overstory-sandbox-")
        self._ledger = ledger or Path(self._folder.name) / "ledger.jsonl"
        self._config = config
        self._port = port
        self._process: RunningProcess | None = None
        self.base_url = ""

    def start(self) -> Self:
        """Start it and wait until it takes requests. Raises ServiceAway if it does not start."""
        config = Path(self._folder.name) / "config.json"
        config.write_text(json.dumps(self._config), encoding="utf-8")
        options = ["--config", str(config), "--port", str(self._port)]
        options += ["--ledger", str(self._ledger)]
        self._process = self.begin(options, os.environ | {PARENT_VARIABLE: str(os.getpid())})
        assert self._process.stdout is not None
        line = _first_line(self._process.stdout)
        if not line:
            self.stop()
            raise ServiceAway("the sandbox did not start")
        self.base_url = json.loads(line)["base_url"]
        return self

    def begin(self, options: list[str], environment: Mapping[str, str]) -> RunningProcess:
        """A new process of ``overstory sandbox`` with these command-line options."""
        command = [sys.executable, "-P", "-m", "overstory.sandbox", *options]
        return subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)

    @property
    def pid(self) -> int:
        """Its process id; 0 if it does not run."""
        return self._process.pid if self._process else 0

    def configure(self, **changes: object) -> dict[str, Any]:
        """Change settings; returns the new config. Raises urllib's HTTPError for a wrong value."""
        return self._admin("config", changes)

    def stats(self) -> dict[str, Any]:
        return self._admin("stats")

    def reset(self) -> None:
        self._admin("reset", {})

    def ledger(self) -> list[dict[str, Any]]:
        text = self._ledger.read_text(encoding="utf-8") if self._ledger.exists() else ""
        return [json.loads(line) for line in text.splitlines()]

    def stop(self) -> None:
        """End it. A second call does nothing."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout:
                process.stdout.close()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _admin(self, endpoint: str, changes: dict[str, Any] | None = None) -> dict[str, Any]:
        url = f"{self.base_url.removesuffix('/v1')}/_sandbox/{endpoint}"
        data = None if changes is None else json.dumps(changes).encode()
        with urllib.request.urlopen(url, data, timeout=ADMIN_SECONDS) as reply:  # noqa: S310 - our own loopback address
            value: dict[str, Any] = json.load(reply)
            return value


def _first_line(pipe: IO[bytes]) -> bytes:
    """The ready line; empty if the process ends first or writes nothing for START_SECONDS."""
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        return pipe.readline() if selector.select(START_SECONDS) else b""
