"""What all runs of one home share: a Valkey and, without an API key, the sandbox.

Each part is in ``run/stack.json`` before it runs, so the next run finds it even if this one is
killed. Every run holds a shared lock on ``run/users.lock``; the last to leave stops the parts.
"""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from clients import private_files
from core.errors import ServiceAway
from core.settings import SANDBOX, Settings
from overstory.local.home import locked
from overstory.local.servers import processes
from overstory.local.servers.valkey import (
    START_SECONDS,
    answers,
    broker_folder,
    broker_lives,
    comes_up,
    command_line,
    drop_socket,
    end_broker,
    facts,
    shut_down,
    unrecorded_broker,
    usable_socket,
)
from workers.endpoints import Stack, read_stack, stack_file, write_stack


@dataclass(slots=True)
class SharedParts:
    """The shared parts as one run sees them."""

    home: Path
    launched: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _users: IO[str] | None = None

    def join(self, settings: Settings) -> Stack:
        """Start what does not run yet and register as a user of it. Raises ServiceAway."""
        with locked(_start_lock(self.home)):
            self._users = private_files.lock_file(_users_file(self.home))
            stack = self._bring_up(settings, settings.uses_sandbox)
            fcntl.flock(self._users, fcntl.LOCK_SH)
        return stack

    def revive(self, settings: Settings) -> None:
        """Start again what died, at the same socket and port: other processes still use them."""
        stack = read_stack(self.home)
        if stack is None or not self._live(stack):
            with locked(_start_lock(self.home)):
                self._bring_up(settings, settings.endpoint_name == SANDBOX)

    def leave(self) -> None:
        """Stop using the parts; the last user stops them. A second call does nothing."""
        if self._users is None:
            return
        with locked(_start_lock(self.home)):
            fcntl.flock(self._users, fcntl.LOCK_UN)
            if _is_unused(self._users):
                end_shared(self.home)
                self.kill_launched()  # they are our children: reap them
            self._users.close()
            self._users = None

    def kill_launched(self) -> None:
        for process in list(self.launched):
            process.kill()
            process.wait()

    def rewrite(self, **changes: Any) -> None:
        """Change fields of the record, if there is one."""
        with locked(_start_lock(self.home)):
            stack = read_stack(self.home)
            if stack is not None:
                write_stack(self.home, replace(stack, **changes))

    def _bring_up(self, settings: Settings, with_sandbox: bool) -> Stack:
        stack = self._broker(read_stack(self.home))
        if with_sandbox:
            stack = self._sandbox(stack, settings)
        write_stack(self.home, stack)
        return stack

    def _live(self, stack: Stack) -> bool:
        return broker_lives(self.home, stack) and (
            stack.sandbox_pid is None or sandbox_lives(self.home, stack)
        )

    def _broker(self, stack: Stack | None) -> Stack:
        stack = stack or unrecorded_broker(self.home)
        if stack is not None and comes_up(self.home, stack):
            return stack
        before = stack or Stack("", 0)
        folder = broker_folder(self.home)
        private_files.private_folder(folder)
        socket = usable_socket(self.home, before.socket)
        log = folder / "valkey.log"
        started = replace(before, socket=socket, broker_run=None)

        def record(pid: int) -> None:
            recorded = replace(started, broker_pid=pid, broker_born=processes.born(pid))
            write_stack(self.home, recorded)

        process = self._launch(command_line(socket, folder), log, record)
        born = processes.born(process.pid)
        deadline = time.monotonic() + START_SECONDS
        while (told := facts(socket)) is None:
            if process.poll() is not None or time.monotonic() > deadline:
                raise ServiceAway(f"the embedded Valkey did not start: see {log}")
            time.sleep(0.01)
        run = told.get("run_id")
        return replace(started, broker_pid=process.pid, broker_born=born, broker_run=run)

    def _sandbox(self, stack: Stack, settings: Settings) -> Stack:
        if sandbox_lives(self.home, stack):
            if stack.sandbox_url is not None:
                return stack
            _end_sandbox(self.home, stack)  # its run was killed before it recorded the address
        log = self.home / "logs" / "sandbox.log"
        private_files.log_file(_sandbox_file(self.home)).close()  # it opens what is there

        def record(pid: int) -> None:
            born = processes.born(pid)
            write_stack(self.home, replace(stack, sandbox_pid=pid, sandbox_born=born))

        command = _sandbox_command(self.home, stack, settings)
        process = self._launch(command, log, record, stdout=subprocess.PIPE)
        assert process.stdout is not None
        line = process.stdout.readline()
        process.stdout.close()
        if not line:
            raise ServiceAway(f"the sandbox did not start: see {log}")
        url, born = json.loads(line)["base_url"], processes.born(process.pid)
        return replace(stack, sandbox_url=url, sandbox_pid=process.pid, sandbox_born=born)

    def _launch(
        self,
        command: list[str],
        log: Path,
        record: Callable[[int], None],
        stdout: int | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a part in its own session: Ctrl-C is for the command, which stops it in time."""
        with private_files.log_file(log) as out:
            process = processes.recorded(command, record, out if stdout is None else stdout, out)
        self.launched.append(process)
        return process


def end_unused(home: Path) -> list[str] | None:
    """``end_shared`` if no run and no service uses the parts; None if one does."""
    with (
        locked(_start_lock(home)),
        private_files.lock_file(_users_file(home)) as users,
    ):
        return end_shared(home) if _is_unused(users) else None


def end_shared(home: Path) -> list[str]:
    """End the recorded broker and sandbox of ``home``; returns the names of those that ran.

    The record is deleted last, so a kill here leaves it for the next run.
    """
    stack = read_stack(home)
    if stack is None:
        return []
    ended = []
    if answers(stack) or broker_lives(home, stack):
        ended.append("Valkey")
        shut_down(stack.socket)
        end_broker(home, stack)
    drop_socket(home, stack.socket)
    if _end_sandbox(home, stack):
        ended.append("the sandbox")
    stack_file(home).unlink(missing_ok=True)
    return ended


def _start_lock(home: Path) -> Path:
    return home / "run" / "start.lock"


def _users_file(home: Path) -> Path:
    return home / "run" / "users.lock"


def _is_unused(users: IO[str]) -> bool:
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sandbox_command(home: Path, stack: Stack, settings: Settings) -> list[str]:
    """The sandbox enforces the account limits of our settings. It reuses the port it had."""
    port = urlsplit(stack.sandbox_url).port if stack.sandbox_url else None
    limits = settings.limits
    return [
        *(sys.executable, "-P", "-m", "overstory.sandbox", "--ledger", _sandbox_ledger(home)),
        *("--port", str(port or 0), "--concurrency", str(limits.concurrency)),
        *("--rpm", str(limits.rpm), "--tpm", str(limits.tpm)),
    ]


def _sandbox_file(home: Path) -> Path:
    return home / "logs" / "sandbox.jsonl"


def _sandbox_ledger(home: Path) -> str:
    """Its path identifies the process: it is in the command line."""
    return str(_sandbox_file(home).resolve())


def sandbox_lives(home: Path, stack: Stack) -> bool:
    """Whether the sandbox on record runs."""
    return processes.lives(stack.sandbox_pid, _sandbox_ledger(home), since=stack.sandbox_born)


def with_running_sandbox(settings: Settings) -> Settings:
    """The settings that a run of this home would use now: with the URL of its running sandbox."""
    stack = read_stack(settings.home) if settings.uses_sandbox and not settings.broker_url else None
    # its port may be another program's by now
    if stack is None or not stack.sandbox_url or not sandbox_lives(settings.home, stack):
        return settings
    changes = {"base_url": stack.sandbox_url, "endpoint_name": SANDBOX}
    return settings.model_copy(update=changes)


def _end_sandbox(home: Path, stack: Stack) -> bool:
    return processes.end(stack.sandbox_pid, _sandbox_ledger(home), since=stack.sandbox_born)
