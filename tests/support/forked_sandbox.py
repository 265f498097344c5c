"""The sandbox as a fork of a process that has loaded its code.

Hundreds of tests start their own sandbox; half a second each was a fifth of the suite's time.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
from collections.abc import Mapping
from multiprocessing.connection import Connection

from overstory.sandbox.command import sandbox
from overstory.sandbox.process import SandboxProcess

_FORKS = multiprocessing.get_context("forkserver")
# The command loads its server only when it serves: without the second name each fork would load it.
_FORKS.set_forkserver_preload([__name__, "overstory.sandbox.api.server"])


class ForkedSandbox(SandboxProcess):
    """A SandboxProcess that forks instead of starting Python."""

    def begin(self, options: list[str], environment: Mapping[str, str]) -> Fork:
        return Fork(options, environment)


class Fork:
    """``subprocess.Popen`` of a fork."""

    def __init__(self, options: list[str], environment: Mapping[str, str]) -> None:
        reader, writer = _FORKS.Pipe(duplex=False)
        self._process = _FORKS.Process(
            target=_be_sandbox, args=(options, dict(environment), writer)
        )
        self._process.start()
        writer.close()
        self.pid = self._process.pid or 0
        self.stdout = os.fdopen(os.dup(reader.fileno()), "rb")
        reader.close()

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("overstory sandbox", timeout or 0.0)
        return self._process.exitcode


def _be_sandbox(options: list[str], environment: dict[str, str], writer: Connection) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.dup2(writer.fileno(), 1)
    writer.close()
    sandbox.main(options, standalone_mode=False)
