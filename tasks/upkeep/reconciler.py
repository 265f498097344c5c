"""maintenance: the reconciler, which owns whatever lost its owner.

Every step is idempotent and safe to run in several processes at once: it re-sends what is ready
and in no queue, reclaims what expired, finishes what is finishable. It never does a stage's work.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from clients.spool import Spooled
from core.errors import OverstoryError, ServiceAway
from core.slice_size import WAKE_UPS
from models import claims, ledger, repair, state
from models.engine import Connection
from models.state import Moved
from tasks.account import NO_BALANCE, probe_account
from tasks.file_store import TIDY_AT_ONCE, tidy
from tasks.image_slices import announce
from tasks.runtime.leases import RENEWALS
from tasks.runtime.services import Services

log = structlog.get_logger()

TICK_SECONDS = 1.0
PROBE_SECONDS = 5.0
"""How often an empty account is asked for its balance."""
RECOUNT_SECONDS = 30.0
"""How often the countdowns are checked against what they count."""
TIDY_SECONDS = 10.0
"""How often files of ended jobs are looked for."""
CALL_WINDOW_MAX = 256


@dataclass(slots=True)
class Reconciler:
    """Calls ``tick`` about once a second; holds only when to do the rarer things next."""

    services: Services
    clock: Callable[[], float] = time.monotonic
    quiet_until: float = 0.0
    ahead: float | None = None  # the database's clock of ours, at the last look
    idle_since: float | None = None
    next_probe: float = 0.0
    next_recount: float = 0.0
    next_tidy: float = 0.0
    tidying: Future[None] | None = None
    left_spooled: set[Path] = field(default_factory=set)  # that could not be settled

    def run(self) -> None:
        """Tick until the services are stopping."""
        while not self.services.stopping.wait(TICK_SECONDS):
            self.round()

    def round(self) -> None:
        """A tick that survives anything: whoever owns the stuck must not be stuck."""
        try:
            self.tick()
        except Exception:
            log.exception("reconciler.failed")

    def tick(self) -> None:
        """One round. What is away is waited for."""
        try:
            self._settle_spooled()
            self._look_at_clocks()
            if self.clock() >= self.quiet_until:
                self._reclaim()
            else:
                self._renew_nothing()
            self._probe_account()
            self._top_up()
            self._tidy_files()
        except ServiceAway as error:
            self._be_quiet()  # leases could not be renewed while the database was away
            log.warning("reconciler.waits", error=str(error))
        finally:
            self.idle_since = self.clock()

    def _be_quiet(self) -> None:
        """Give leases one length: whoever lives renews them meanwhile."""
        self.quiet_until = self.clock() + self.services.settings.lease_seconds

    def _settle_spooled(self) -> None:
        for path, spooled in self.services.spool.waiting():
            try:
                settled = self._settle(spooled)
            except ServiceAway:
                raise
            except Exception as error:  # it is kept, and the others must not wait for it
                self._tell_left(path, "spool.unsettled", f"{type(error).__name__}: {error}")
                continue
            if settled:
                self.services.spool.drop(path)
                log.info("spool.settled", call=spooled.call_id)
            else:
                self._tell_left(path, "spool.foreign", "it is to no call of this database")

    def _tell_left(self, path: Path, event: str, error: str) -> None:
        """Once a file: they are tried every second."""
        if path not in self.left_spooled:
            self.left_spooled.add(path)
            log.error(event, file=str(path), error=error)

    def _settle(self, spooled: Spooled) -> bool:
        """False where the reply is to no call of this database: two may share a home."""
        with self.services.database.read() as connection:
            if not repair.is_call(connection, spooled.call_id, spooled.key):
                return False
        with self.services.database.write() as connection:
            ledger.settle(connection, spooled.call_id, spooled.reply, spooled.cost)
        return True

    def _look_at_clocks(self) -> None:
        """Leases end by the database's clock, which may be set, and which goes on while a machine
        sleeps: then they have ended before those who live could renew them. Our own clock stands
        still in a sleep, or else shows how long this thread was kept from its next round."""
        with self.services.database.read() as connection:
            moment = repair.moment(connection)
        before, self.ahead = self.ahead, moment - self.clock()
        jump = 0.0 if before is None else self.ahead - before
        slept = 0.0 if self.idle_since is None else self.clock() - self.idle_since - TICK_SECONDS
        if max(abs(jump), slept) > self.services.settings.lease_seconds / RENEWALS:
            self._be_quiet()
            log.warning("reconciler.clock_jumped", seconds=round(jump, 1), slept=round(slept, 1))

    def _renew_nothing(self) -> None:
        """Write as those do who renew leases. A database may answer and take no writes, and then
        they need their one length from when it does."""
        with self.services.database.write() as connection:
            claims.renew_nodes(connection, ["nobody's"], 0.0)

    def _reclaim(self) -> None:
        begun = self.clock()
        moved = Moved()
        with self.services.database.read() as connection:
            due = repair.anything_expired(connection, self.services.settings.attempts_max)
        recount = self.clock() >= self.next_recount
        if not (due or recount):
            return
        with self.services.database.write() as connection:
            if self.clock() - begun > self.services.settings.lease_seconds / RENEWALS:
                self._be_quiet()  # everybody was kept waiting, those who renew leases too
                return
            if due:
                self._reclaim_expired(connection, moved)
            if recount:
                self.next_recount = self.clock() + RECOUNT_SECONDS
                mended = repair.recount(connection, moved)
                if mended:
                    log.warning("reconciler.mended", nodes=mended)
        announce(self.services, "", moved)

    def _reclaim_expired(self, connection: Connection, moved: Moved) -> None:
        settings = self.services.settings
        lost = ledger.expire_all(connection)
        nodes = repair.reclaim_nodes(connection, settings.call_attempts_max, moved)
        images = repair.fail_poison(connection, settings.attempts_max, moved)
        log.info("reconciler.reclaimed", calls=lost, nodes=nodes, images=images)

    def _probe_account(self) -> None:
        """Ask an empty account for its balance, by what the limiter or else the jobs say of it."""
        if self.clock() < self.next_probe:
            return
        self.next_probe = self.clock() + PROBE_SECONDS
        with self.services.database.read() as connection:
            held = state.is_paused(connection, self.services.account, NO_BALANCE)
        if held or self.services.limiter.paused() == NO_BALANCE:
            probe_account(self.services)

    def _tidy_files(self) -> None:
        """Delete what ended jobs left at the provider. In a thread of its own: deletions may hang
        for minutes, and what lost its owner must not wait for them."""
        under_way = self.tidying is not None and not self.tidying.done()
        if under_way or self.clock() < self.next_tidy or self.services.limiter.paused():
            return
        self.next_tidy = self.clock() + TIDY_SECONDS
        self.tidying = self.services.deleting.submit(self._tidy)

    def _tidy(self) -> None:
        try:
            if tidy(self.services) >= TIDY_AT_ONCE:
                self.next_tidy = 0.0  # there are more
        except OverstoryError as error:
            log.warning("reconciler.tidies_later", error=str(error))
        except Exception:
            if not self.services.stopping.is_set():  # which lets go of what has not begun
                log.exception("reconciler.failed")

    def _top_up(self) -> None:
        """Send messages for what is due, up to a window: a wiped queue is as it was in a tick."""
        calls = min(2 * self.services.settings.limits.concurrency, CALL_WINDOW_MAX)
        with self.services.database.read() as connection:
            waiting = claims.waiting_work(connection, self.services.account, calls)
        for stage, units in waiting.items():
            window = WAKE_UPS if stage in {"preprocess", "upload"} else calls
            for _ in range(min(units, window) - self.services.queued(stage)):
                self.services.send(stage)
