"""The sandbox as a fork of a process that has loaded it: hundreds of tests start one of their own,
and half a second each was a fifth of the ring."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
from collections.abc import Mapping
from multiprocessing.connection import Connection

from overstory.sandbox.command import sandbox
from overstory.sandbox.process import SandboxProcess

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload([__name__])


class ForkedSandbox(SandboxProcess):
    """The same in all else."""

    def begin(self, words: list[str], environment: Mapping[str, str]) -> Fork:
        return Fork(words, environment)


class Fork:
    """``subprocess.Popen`` of a fork."""

    def __init__(self, words: list[str], environment: Mapping[str, str]) -> None:
        said, says = _FORKS.Pipe(duplex=False)
        self._process = _FORKS.Process(target=_be_sandbox, args=(words, dict(environment), says))
        self._process.start()
        says.close()
        self.pid = self._process.pid or 0
        self.stdout = os.fdopen(os.dup(said.fileno()), "rb")
        said.close()

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("overstory sandbox", timeout or 0.0)
        return self._process.exitcode


def _be_sandbox(words: list[str], environment: dict[str, str], says: Connection) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.dup2(says.fileno(), 1)
    says.close()
    sandbox.main(words, standalone_mode=False)
