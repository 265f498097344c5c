"""A broker that sentinels watch: every link follows the primary, also after a failover."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from clients.limiter.limiter import Admitted, RedisLimiter
from core.catalog.tiers import tier
from core.errors import ServiceRefuses
from core.settings import load
from tests.support.faults.servers import MASTER, SentinelBroker
from tests.support.ports import free_port
from tests.support.waiting import eventually
from workers.app import make_app
from workers.broker_health import check
from workers.endpoints import limiter_url
from workers.services import queue_length


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[SentinelBroker]:
    broker = SentinelBroker(tmp_path / "broker")
    broker.start()
    yield broker
    broker.kill()


def test_every_link_follows_the_primary(broker: SentinelBroker) -> None:
    settings = load(broker_url=broker.url)
    check(settings)
    with pytest.raises(ServiceRefuses, match="no primary of that name"):
        check(load(broker_url=broker.url.replace(MASTER, "another")))
    with pytest.raises(ServiceRefuses, match="is not a sentinel"):
        check(load(broker_url=f"sentinel://127.0.0.1:{broker.port}/0?master_name={MASTER}"))
    with pytest.raises(ServiceRefuses, match="or they do not answer"):
        check(load(broker_url=f"sentinel://127.0.0.1:{free_port()}/0?master_name={MASTER}"))
    app = make_app(settings)
    limiter = RedisLimiter(limiter_url(settings), "account", tier("V0"))
    app.send_task("overstory.infer")
    assert isinstance(limiter.acquire("lease", 100, 60.0), Admitted)
    queued = queue_length(app)
    assert queued("infer") == 1
    broker.kill_primary()
    eventually(lambda: queued("infer") == 1, 30.0)
    app.send_task("overstory.infer")
    assert queued("infer") == 2
    assert limiter.state().in_flight == 1
    assert limiter.renew("lease", 60.0)
    check(settings)
    limiter.close()
    app.close()
