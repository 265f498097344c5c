"""Keeps leases alive while their work runs: two threads per process renew them.

One renews rows in the database, the other slots at the limiter. A link that drops packets holds a
renewal for up to a minute, and what the other server keeps would expire meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping

import structlog

from clients.limiter.limiter import Limiter
from core.errors import OverstoryError
from models import claims, ledger
from models.engine import Database

log = structlog.get_logger()

DURATIONS = 50
SLOT_MARGIN = 1.5
RENEWALS = 4
"""Renewals per lease length: three may fail before the lease expires."""
CLOSE_SECONDS = 5.0
"""The longest that ``close`` waits for running renewals."""


class LeaseKeeper:
    """Renews leases of rows, calls and account slots every quarter of their length."""

    def __init__(
        self, database: Database, limiter: Limiter, seconds: float, slot_seconds: float
    ) -> None:
        self._database = database
        self._limiter = limiter
        self._seconds = seconds
        self._slot_seconds = slot_seconds
        self._durations: deque[float] = deque(maxlen=DURATIONS)
        self._held: dict[str, bool] = {}
        self._changed = threading.Condition()
        self._closed = threading.Event()
        self._threads: list[threading.Thread] = []
        self._pid = 0

    @contextlib.contextmanager
    def hold(self, token: str, call: bool = False) -> Iterator[None]:
        """Keep ``token`` alive inside the block; ``call``: also its account slot and ledger row."""
        with self._changed:
            self._held[token] = call
            self._start()
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._held.pop(token, None)

    def close(self) -> None:
        """Stop renewing. Waits for running renewals: their connections would stay open."""
        self._closed.set()
        with self._changed:
            self._changed.notify_all()
            threads = self._threads if self._pid == os.getpid() else []
        deadline = time.monotonic() + CLOSE_SECONDS
        for thread in threads:
            thread.join(max(deadline - time.monotonic(), 0.0))

    def slot_seconds(self) -> float:
        """How long an account slot is kept without renewal: as long as the call may still run at
        the provider, estimated from the slowest of the last calls."""
        if not self._durations:
            return max(self._slot_seconds, self._seconds)
        return max(SLOT_MARGIN * max(self._durations), self._seconds)

    def calls(self) -> int:
        """The number of calls in flight in this process."""
        with self._changed:
            return sum(self._held.values())

    def call_seconds(self) -> float:
        """The mean duration of the last calls; 0 before the first has ended."""
        durations = list(self._durations)
        return sum(durations) / len(durations) if durations else 0.0

    def took(self, seconds: float) -> None:
        """Record the duration of a call."""
        self._durations.append(seconds)

    def _start(self) -> None:
        if self._pid != os.getpid():  # threads do not survive a fork
            self._pid = os.getpid()
            renewals = {"leases": self._renew_rows, "slots": self._renew_slots}
            self._threads = [
                threading.Thread(target=self._run, args=(renew,), name=name, daemon=True)
                for name, renew in renewals.items()
            ]
            for thread in self._threads:
                thread.start()

    def _run(self, renew: Callable[[Mapping[str, bool]], None]) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._held or self._closed.is_set())
            if self._closed.wait(self._seconds / RENEWALS):  # short work ends meanwhile
                return
            with self._changed:
                held = dict(self._held)
            if held:
                renew(held)

    def _renew_rows(self, held: Mapping[str, bool]) -> None:
        calls = [token for token, call in held.items() if call]
        slices = [token for token, call in held.items() if not call]
        with self._tolerant("leases.database"), self._database.write() as connection:
            claims.renew_images(connection, slices, self._seconds)
            claims.renew_nodes(connection, calls, self._seconds)
            ledger.renew(connection, calls, self._seconds)

    def _renew_slots(self, held: Mapping[str, bool]) -> None:
        with self._tolerant("leases.limiter"):
            for token in (token for token, call in held.items() if call):
                self._limiter.renew(token, self.slot_seconds())

    @contextlib.contextmanager
    def _tolerant(self, event: str) -> Iterator[None]:
        """Whatever a renewal raises, the next one comes a quarter of a lease later. Without these
        threads, other processes would take over the work that this one has paid for."""
        try:
            yield
        except OverstoryError as error:
            log.warning(event, error=str(error))
        except Exception:
            log.exception(event)
