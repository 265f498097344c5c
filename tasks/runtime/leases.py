"""Keeping leases alive while their work runs: one thread a process renews what is held."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from collections.abc import Iterator

import structlog

from clients.limiter.limiter import Limiter
from core.errors import OverstoryError
from models import claims, ledger
from models.engine import Database

log = structlog.get_logger()

DURATIONS = 50
SLOT_MARGIN = 1.5
RENEWALS = 4
"""Times a lease is renewed within its length: three may be lost before it lapses."""
CLOSE_SECONDS = 5.0
"""How long closing waits for a renewal that is under way, at most."""


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
        self._thread: threading.Thread | None = None
        self._pid = 0

    @contextlib.contextmanager
    def hold(self, token: str, call: bool = False) -> Iterator[None]:
        """Keep ``token`` alive inside the block; ``call``: its account slot and ledger row too."""
        with self._changed:
            self._held[token] = call
            self._start()
            self._changed.notify()
        try:
            yield
        finally:
            with self._changed:
                self._held.pop(token, None)

    def close(self) -> None:
        """Renew nothing any more. A renewal under way ends first: it has a connection that would
        otherwise stay open."""
        self._closed.set()
        with self._changed:
            self._changed.notify()
            thread = self._thread if self._pid == os.getpid() else None
        if thread is not None:
            thread.join(CLOSE_SECONDS)

    def slot_seconds(self) -> float:
        """How long an account slot is kept for a call nobody renews: as long as the call may still
        run at the provider, going by the slowest of the last calls."""
        if not self._durations:
            return max(self._slot_seconds, self._seconds)
        return max(SLOT_MARGIN * max(self._durations), self._seconds)

    def calls(self) -> int:
        """Calls of this process that are under way."""
        with self._changed:
            return sum(self._held.values())

    def call_seconds(self) -> float:
        """How long the last calls took on average; 0 before the first has ended."""
        durations = list(self._durations)
        return sum(durations) / len(durations) if durations else 0.0

    def took(self, seconds: float) -> None:
        """A call lasted ``seconds``."""
        self._durations.append(seconds)

    def _start(self) -> None:
        if self._pid != os.getpid():  # threads do not survive a fork
            self._pid = os.getpid()
            self._thread = threading.Thread(target=self._run, name="leases", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._held or self._closed.is_set())
            if self._closed.wait(self._seconds / RENEWALS):  # what ends meanwhile needs no renewal
                return
            with self._changed:
                held = dict(self._held)
            if held:
                self._renew(held)

    def _renew(self, held: dict[str, bool]) -> None:
        calls = [token for token, call in held.items() if call]
        slices = [token for token, call in held.items() if not call]
        with self._tolerant("leases.database"), self._database.write() as connection:
            claims.renew_images(connection, slices, self._seconds)
            claims.renew_nodes(connection, calls, self._seconds)
            ledger.renew(connection, calls, self._seconds)
        with self._tolerant("leases.limiter"):
            for token in calls:
                self._limiter.renew(token, self.slot_seconds())

    @contextlib.contextmanager
    def _tolerant(self, event: str) -> Iterator[None]:
        """A renewal that fails, however, is tried again a quarter of a lease later: without this
        thread all that the process has paid for is given to others."""
        try:
            yield
        except OverstoryError as error:
            log.warning(event, error=str(error))
        except Exception:
            log.exception(event)
