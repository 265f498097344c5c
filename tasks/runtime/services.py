"""The clients that a stage uses. workers.services builds them; everything else receives them."""

from __future__ import annotations

import random
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from clients.blobs import Blobs
from clients.images.decoder import Decoder
from clients.limiter.limiter import Limiter
from clients.spool import Spool
from clients.uploads import Uploads
from core.account.reservations import Reservations
from core.catalog.models import PROVIDERS, ProviderProfile
from core.settings import Settings
from models.claims import Lease
from models.engine import Database
from tasks.runtime.leases import LeaseKeeper
from tasks.runtime.tracing import NoTraces, Traces

if TYPE_CHECKING:  # the SDK is a third of a worker's start: loaded only where it is used
    from clients.provider.client import Provider


DELETES_AT_ONCE = 8


class Send(Protocol):
    """Publish one message to a stage. Never raises: the reconciler sends lost messages again."""

    def __call__(self, stage: str, **shown: Any) -> None: ...


@dataclass(slots=True)
class Services:
    """One process's clients. ``queued``: the number of a stage's messages in the broker.
    ``collect``: move submissions from Celery's own queue into ours. ``draw``: a random number in
    [0, 1) for jitter."""

    settings: Settings
    database: Database
    blobs: Blobs
    uploads: Uploads
    decoder: Decoder
    make_provider: Callable[[], Provider]
    limiter: Limiter
    spool: Spool
    leases: LeaseKeeper
    account: str
    send: Send
    queued: Callable[[str], int]
    collect: Callable[[], int] = lambda: 0
    stopping: threading.Event = field(default_factory=threading.Event)
    draw: Callable[[], float] = random.random
    traces: Traces = field(default_factory=NoTraces)
    written: Reservations = field(default_factory=Reservations)
    holds_new_jobs: str | None = None
    """The reason for which jobs begin paused: a command first says what they will cost."""
    tidying: threading.Lock = field(default_factory=threading.Lock)
    """Held while files of ended jobs are deleted."""

    _provider: Provider | None = None
    _provider_lock: threading.Lock = field(default_factory=threading.Lock)
    _deleting: ThreadPoolExecutor | None = None

    @property
    def provider(self) -> Provider:
        """The provider's client, built on first use."""
        with self._provider_lock:
            if self._provider is None:
                self._provider = self.make_provider()
            return self._provider

    @property
    def deleting(self) -> ThreadPoolExecutor:
        """Threads that delete files at the provider. They are reused: with a full store, every
        slice deletes a few files."""
        with self._provider_lock:
            if self._deleting is None:
                self._deleting = ThreadPoolExecutor(DELETES_AT_ONCE, "delete")
            return self._deleting

    def close(self) -> None:
        """Close every connection. The services cannot be used afterwards."""
        with self._provider_lock:
            deleting, provider = self._deleting, self._provider
        if deleting is not None:  # without the lock: its threads use the provider
            deleting.shutdown(cancel_futures=True)
        if provider is not None:
            provider.close()
        self.leases.close()
        self.limiter.close()
        self.database.dispose()
        self.traces.close()

    @property
    def profile(self) -> ProviderProfile:
        return PROVIDERS[self.settings.provider]

    def new_lease(self) -> Lease:
        return Lease(secrets.token_hex(12), self.settings.lease_seconds)
