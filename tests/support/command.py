"""A person who runs the real command, and the endpoint as one test sees it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from overstory.sandbox.process import SandboxProcess
from workers.endpoints import read_stack

RUN_SECONDS = 90.0
ASK = "Which colours are there, and which image stands out?"


@dataclass
class Ran:
    """A command's result: exit status, stdout and stderr."""

    status: int
    out: str
    err: str

    @property
    def result(self) -> dict[str, Any]:
        """The JSON object that --json prints."""
        value: dict[str, Any] = json.loads(self.out)
        return value


def parsed(ran: Ran) -> Any:
    """The JSON that a successful command wrote."""
    assert ran.status == 0, ran.err
    return json.loads(ran.out)


class Person:
    """A user with their own key and state folder, who runs the command."""

    def __init__(self, home: Path, folder: Path, **settings: str) -> None:
        self.home = home
        self.folder = folder
        self.settings = {"OVERSTORY_HOME": str(home), **settings}
        self.started: list[subprocess.Popen[str]] = []

    @property
    def environment(self) -> dict[str, str]:
        """Without a key it asks for the sandbox, because there is no terminal."""
        keyless = not {"OVERSTORY_API_KEY", "STEPFUN_API_KEY"} & {*os.environ, *self.settings}
        wanted = keyless and "OVERSTORY_BASE_URL" not in os.environ | self.settings
        asked = {"OVERSTORY_SANDBOX": "true"} if wanted else {}
        return os.environ | asked | self.settings

    def start(self, *words: object, ask: str = ASK) -> subprocess.Popen[str]:
        """Start the command as a terminal does: as leader of its own process group."""
        return self.begin("run", *words, "--ask", ask)

    def begin(self, *words: object) -> subprocess.Popen[str]:
        """Start any command in the same way."""
        program = Path(sys.executable).with_name("overstory")
        process = subprocess.Popen(
            [str(program), *map(str, words)],
            env=self.environment,
            cwd=self.folder,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def run(self, *words: object, ask: str = ASK) -> Ran:
        return self.wait(self.start(*words, ask=ask))

    def say(self, *words: object) -> Ran:
        """Run any command to its end."""
        return self.wait(self.begin(*words))

    def wait(self, process: subprocess.Popen[str]) -> Ran:
        out, err = process.communicate(timeout=RUN_SECONDS)
        assert "Traceback" not in err, err
        return Ran(process.returncode, out, err)

    def processes(self, *, of: str = "") -> list[psutil.Process]:
        """Living processes with our state folder; ``of``: with that text in their command line."""
        found = []
        for process in psutil.process_iter():
            try:
                ours = process.environ().get("OVERSTORY_HOME") == str(self.home)
                words = " ".join(process.cmdline())
                alive = process.status() != psutil.STATUS_ZOMBIE
            except psutil.Error:
                continue
            if ours and alive and of in words:
                found.append(process)
        return found

    def kill_processes(self) -> None:
        """SIGKILL to each; some end by themselves once another is gone."""
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def clean_up(self) -> None:
        for started in self.started:  # first: a command restarts what dies under it
            started.kill()
            started.wait()
        stack = read_stack(self.home)
        if stack is not None:
            # Valkey overwrites its environment with its title, so ``processes`` does not find it
            with contextlib.suppress(psutil.NoSuchProcess):
                psutil.Process(stack.broker_pid).kill()
        self.kill_processes()
        for started in self.started:
            started.communicate()


def interrupt(process: subprocess.Popen[str]) -> None:
    """Ctrl-C: the terminal signals the entire process group."""
    os.killpg(process.pid, signal.SIGINT)


class Endpoint:
    """The sandbox for one test: counts at zero, no faults, one key."""

    def __init__(self, process: SandboxProcess, key: str) -> None:
        self.process = process
        self.key = key
        self.account = hashlib.sha256(key.encode()).hexdigest()[:12]

    def stats(self) -> dict[str, Any]:
        return self.process.stats()

    def image_counts(self) -> list[int]:
        """Images of each admitted call, largest first."""
        lines = [line for line in self.process.ledger() if line["account"] == self.account]
        return sorted((len(x["images"]) for x in lines if x["event"] == "start"), reverse=True)

    def in_flight(self) -> int:
        return int(self.stats()["in_flight"])
