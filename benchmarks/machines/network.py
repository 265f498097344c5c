"""Machines as network namespaces on one switch; made, and removed again, by names of our own."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from benchmarks.machines.links import CALM, Link
from benchmarks.machines.switch import TUN

PREFIX = "overstory"
NETWORK = "198.18.77."
"""Of 198.18.0.0/15, which RFC 2544 keeps for benchmarks: no other network has it."""
CONTROL = "control"
"""The harness itself, in the namespace of the machine. Its links are never broken."""
HOSTS = {
    CONTROL: 1, "db": 2, "redis": 3, "s3": 4, "provider": 5, "w1": 11, "w2": 12, "w3": 13,
}  # fmt: skip
WORKERS = ("w1", "w2", "w3")
SERVERS = ("db", "redis", "s3", "provider")
MTU = 1500
STOP_SECONDS = 5.0
_NAMESPACE = re.compile(rf"{PREFIX}-(\d+)-\w+")


def what_is_missing() -> str:
    """What this benchmark needs and this machine does not have; empty if nothing."""
    if os.geteuid() != 0:
        return "root (it makes network namespaces)"
    if shutil.which("ip") is None:
        return "the command ip of iproute2"
    if not os.access(TUN, os.R_OK | os.W_OK):
        return f"{TUN} (the kernel's tun devices)"
    trial = f"{PREFIX}-{os.getpid()}-trial"
    if _ip("netns", "add", trial, check=False).returncode:
        return "the right to make network namespaces (CAP_SYS_ADMIN)"
    _ip("netns", "delete", trial)
    if others := [owner for _, owner in _of_all_runs() if _lives(owner)]:
        return f"the end of another run of it (process {others[0]}), which has the same addresses"
    return ""


def address(machine: str) -> str:
    return f"{NETWORK}{HOSTS[machine]}"


@dataclass
class Network:
    """The machines that are up, and the switch between them."""

    switch: subprocess.Popen[str]

    def run_on(self, machine: str) -> list[str]:
        """The words before a command that runs it on ``machine``; its process id stays."""
        return [] if machine == CONTROL else ["ip", "netns", "exec", _namespace(machine)]

    def set(self, ways: Iterable[tuple[str, str]], link: Link = CALM) -> None:
        """Change these directions now; returns when the switch has done so."""
        changes = [(source, target, asdict(link)) for source, target in ways]
        _pipe(self.switch.stdin).write(f"{json.dumps(changes)}\n")
        _pipe(self.switch.stdin).flush()
        if _pipe(self.switch.stdout).readline().strip() != "set":
            raise RuntimeError("the switch has ended")

    def calm(self) -> None:
        """All links as at the beginning."""
        self.set((one, other) for one in HOSTS for other in HOSTS if one != other)


@contextlib.contextmanager
def network(seed: int, folder: Path) -> Iterator[Network]:
    """Make the machines; remove them at the end, whatever happens."""
    remove_left()
    names = [name for name in HOSTS if name != CONTROL]
    with contextlib.ExitStack() as stack:
        for name in names:
            _ip("netns", "add", _namespace(name))
            stack.callback(_ip, "netns", "delete", _namespace(name), check=False)
        devices = {name: f"ov{os.getpid()}-{name[:4]}" for name in HOSTS}
        switch = _start_switch(devices, seed, folder)
        stack.callback(_stop, switch)
        for name, device in devices.items():
            _connect(name, device)
        yield Network(switch)


def remove_left() -> None:
    """Remove the namespaces of runs that were killed."""
    for name, owner in _of_all_runs():
        if not _lives(owner):
            _ip("netns", "delete", name, check=False)


def _of_all_runs() -> list[tuple[str, int]]:
    """The namespaces of this benchmark, and the processes that made them."""
    lines = _ip("netns", "list").stdout.splitlines()
    return [(found[0], int(found[1])) for line in lines if (found := _NAMESPACE.match(line))]


def _lives(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def _namespace(machine: str) -> str:
    return f"{PREFIX}-{os.getpid()}-{machine}"


def _start_switch(devices: Mapping[str, str], seed: int, folder: Path) -> subprocess.Popen[str]:
    machines = {name: (device, address(name)) for name, device in devices.items()}
    config = json.dumps({"machines": machines, "seed": seed})
    with (folder / "switch.log").open("w") as log:
        switch = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.machines.switch", config],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,  # a Ctrl-C is the harness's: it ends the switch last
        )
    if _pipe(switch.stdout).readline().strip() != "ready":
        raise RuntimeError(f"the switch did not start: {(folder / 'switch.log').read_text()}")
    return switch


def _connect(machine: str, device: str) -> None:
    """Give ``machine`` its device, with its address."""
    inside: Sequence[str] = ()
    if machine != CONTROL:
        _ip("link", "set", device, "netns", _namespace(machine))
        inside = ("-n", _namespace(machine))
        _ip(*inside, "link", "set", "lo", "up")
    _ip(*inside, "address", "add", f"{address(machine)}/24", "dev", device)
    _ip(*inside, "link", "set", device, "mtu", str(MTU), "up")


def _stop(switch: subprocess.Popen[str]) -> None:
    _pipe(switch.stdin).close()
    try:
        switch.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        switch.kill()
        switch.wait()


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None, "the switch has pipes"
    return pipe


def _ip(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["ip", *words], check=check, capture_output=True, text=True)
