"""Builds the services of a process from its settings: the only place that builds clients."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

import structlog
from celery import Celery
from kombu.exceptions import OperationalError

from clients.blobs import open_blobs
from clients.images.decoder import Decoder
from clients.limiter.limiter import RedisLimiter, account_id
from clients.queued_messages import collect_submissions
from clients.redis import REDIS_ERRORS, RedisServer, unavailable
from clients.spool import Spool
from clients.uploads import open_uploads
from core.errors import KeyRefused, ServiceAway, WrongUsage
from core.settings import Settings
from models.engine import Database
from tasks.runtime.leases import LeaseKeeper
from tasks.runtime.services import Send, Services
from workers.endpoints import broker_address, database_url, limiter_url
from workers.traces import open_traces

if TYPE_CHECKING:
    from clients.provider.client import Provider

log = structlog.get_logger()
T = TypeVar("T")

COLLECT_SECONDS = 2.0
AWAY = (OperationalError, OSError, *REDIS_ERRORS)
"""What a broker leads to that does not answer, or that refuses."""


def build_services(settings: Settings, app: Celery, patient: bool = True) -> Services:
    """The services of one process. A client connects on first use. ``patient``: false for a
    person's command, which soon says that the limiter does not answer."""
    database = Database(database_url(settings))
    account = account_of(settings)
    limiter = RedisLimiter(
        limiter_url(settings),
        account,
        settings.limits,
        window_seconds=settings.limit_window_seconds,
        auto=settings.finds_concurrency,
        patient=patient,
    )
    return Services(
        settings=settings,
        database=database,
        blobs=open_blobs(settings.blob_url, settings.home),
        uploads=open_uploads(settings.blob_url, settings.home),
        decoder=Decoder(settings.decoder_limits),
        make_provider=lambda: _provider(settings, limiter),
        limiter=limiter,
        spool=Spool(settings.home / "spool"),
        leases=LeaseKeeper(database, limiter, settings.lease_seconds, settings.slot_seconds),
        account=account,
        send=_sender(app),
        queued=queue_length(app),
        collect=_collector(settings),
        traces=open_traces(settings),
    )


def _provider(settings: Settings, limiter: RedisLimiter) -> Provider:
    from clients.provider.client import Provider
    from clients.provider.uplink import Uplink

    if settings.uses_sandbox:  # without a key nothing may be sent to a real endpoint
        raise KeyRefused(
            "no API key: set OVERSTORY_API_KEY, or OVERSTORY_BASE_URL to an 'overstory sandbox'"
        )
    connections = max(settings.infer_threads, settings.upload_threads)
    try:
        heard, sent = _unharmed(limiter.heard), _unharmed(limiter.sent)
        return Provider(settings, connections, heard, Uplink(sent))
    except WrongUsage as error:  # the work waits for somebody to start this worker with others
        raise ServiceAway(f"the settings of this process are wrong: {error}") from None


def _unharmed(told: Callable[[T], None]) -> Callable[[T], None]:
    """A call that was paid for must not be lost because the limiter does not answer."""

    def tell(what: T) -> None:
        with suppress(ServiceAway):
            told(what)

    return tell


def account_of(settings: Settings) -> str:
    """The account of these settings: a hash of API key and endpoint."""
    return account_id(_key(settings), settings.base_url)


def _key(settings: Settings) -> str:
    return settings.api_key.get_secret_value() if settings.api_key else "sandbox"


def _sender(app: Celery) -> Send:
    def send(stage: str, **shown: Any) -> None:
        try:
            # ignore_result: else the sender subscribes to each result, and hangs without a broker
            app.send_task(f"overstory.{stage}", kwargs=shown, retry=False, ignore_result=True)
        except AWAY as error:
            # the row is committed: the reconciler sends a new message when the broker answers
            log.warning("send.lost", stage=stage, error=_sentence(error))

    return send


def _collector(settings: Settings) -> Callable[[], int]:
    """Moves submissions out of Celery's own queue. A broker that does not answer, or does not
    let us read that queue, is no reason to stop: what is there waits, or is another app's."""
    server = RedisServer(broker_address(settings).url(), COLLECT_SECONDS, retries=0)

    def collect() -> int:
        try:
            return collect_submissions(server)
        except ServiceAway as error:
            log.debug("collect.away", error=str(error))
            return 0

    return collect


def queue_length(app: Celery) -> Any:
    def queued(stage: str) -> int:
        with app.pool.acquire(block=True) as connection:  # from the pool that messages use
            unavailable = (*AWAY, *connection.connection_errors)
            try:
                channel = connection.default_channel
                return int(channel.queue_declare(stage, passive=True).message_count)
            except connection.channel_errors as error:
                if not isinstance(error, unavailable):
                    return 0  # no such list: nothing was queued, or it was wiped
                log.warning("queue.away", stage=stage, error=_sentence(error))
            except unavailable as error:
                log.warning("queue.away", stage=stage, error=_sentence(error))
        return 1_000_000  # looks full, so that nothing is sent now

    return queued


def _sentence(error: BaseException) -> str:
    return str(unavailable(error, "the broker"))
