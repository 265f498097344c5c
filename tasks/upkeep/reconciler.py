"""The reconciler: recovers work whose process or message was lost.

It sends messages for due work that has none, takes back expired leases, and finishes what can be
finished. Every step is idempotent and may run in several processes at once. It never does a stage's
work.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from clients.sources.documents import Documents
from clients.spool import Spooled
from core.errors import OverstoryError, ServiceAway
from core.slice_size import WAKE_UPS
from models import claims, ledger, repair, state
from models.engine import Connection
from models.state import Moved
from tasks.account import NO_BALANCE, Probed, probe_account
from tasks.calls.budget import resume_jobs
from tasks.file_store import TIDY_AT_ONCE, tidy
from tasks.image_slices import announce
from tasks.runtime.leases import RENEWALS
from tasks.runtime.services import Services
from tasks.upkeep.uploads import sweep_unsubmitted

log = structlog.get_logger()

TICK_SECONDS = 1.0
PROBE_SECONDS = 5.0
"""How often the balance of an empty account is read."""
TRY_SECONDS_MAX = 300.0
"""Longest time between two tries of an account whose calls are refused for want of money though no
empty balance is reported. The second comes PROBE_SECONDS after the first, each after twice that."""
RECOUNT_SECONDS = 30.0
"""How often some of the countdowns are checked against the rows they count."""
SWEEP_SECONDS = 3_600.0
"""How often uploads are deleted that were never submitted."""
NEXT_QUESTION_SECONDS = 600.0
"""How long the files of a further question stay for the next one, where a service goes on."""
TIDY_SECONDS = 10.0
"""How often files of ended jobs are deleted."""
CALL_WINDOW_MAX = 256


@dataclass(slots=True)
class Reconciler:
    """Calls ``tick`` about once a second. Its state is only when to do the rarer steps next."""

    services: Services
    clock: Callable[[], float] = time.monotonic
    quiet_until: float = 0.0
    ahead: float | None = None  # database clock minus our clock, at the last check
    idle_since: float | None = None
    next_probe: float = 0.0
    next_try: float = 0.0  # of an account that may have money
    try_seconds: float = PROBE_SECONDS
    next_recount: float = 0.0
    recounted: int = 0  # id of the node at which the last check stopped
    next_tidy: float = 0.0
    next_sweep: float = 0.0
    tidying: Future[None] | None = None
    left_spooled: set[Path] = field(default_factory=set)  # files that could not be settled

    def run(self) -> None:
        """Tick until the services are stopping."""
        while not self.services.stopping.wait(TICK_SECONDS):
            self.round()

    def round(self) -> None:
        """A tick that survives any error: recovery must go on."""
        try:
            self.tick()
        except Exception:
            log.exception("reconciler.failed")

    def tick(self) -> None:
        """One round. If a service does not answer, the next rounds retry."""
        try:
            self._settle_spooled()
            self._check_clocks()
            if self.clock() >= self.quiet_until:
                self._reclaim()
            else:
                self._try_write()
            self._probe_account()
            self._top_up()
            self.services.collect()
            self._tidy_files()
        except ServiceAway as error:
            self._be_quiet()  # leases could not be renewed meanwhile
            log.warning("reconciler.waits", error=str(error))
        finally:
            self.idle_since = self.clock()

    def _be_quiet(self) -> None:
        """Reclaim nothing for one lease length, so that live processes can renew their leases."""
        self.quiet_until = self.clock() + self.services.settings.lease_seconds

    def _settle_spooled(self) -> None:
        for path, spooled in self.services.spool.waiting():
            try:
                settled = self._settle(spooled)
            except ServiceAway:
                raise
            except Exception as error:  # keep the file and go on with the others
                self._log_left(path, "spool.unsettled", f"{type(error).__name__}: {error}")
                continue
            if settled:
                self.services.spool.drop(path)
                log.info("spool.settled", call=spooled.call_id)
            else:
                self._log_left(path, "spool.foreign", "its call is not in this database")

    def _log_left(self, path: Path, event: str, error: str) -> None:
        """Log each file once: it is retried every second."""
        if path not in self.left_spooled:
            self.left_spooled.add(path)
            log.error(event, file=str(path), error=error)

    def _settle(self, spooled: Spooled) -> bool:
        """False if the reply's call is not in this database: two databases may share a home."""
        with self.services.database.read() as connection:
            if not repair.is_call(connection, spooled.call_id, spooled.key):
                return False
        with self.services.database.write() as connection:
            ledger.settle(connection, spooled.call_id, spooled.reply, spooled.cost)
        return True

    def _check_clocks(self) -> None:
        """Wait one lease length if the database's clock jumped or this thread slept.

        Leases end by the database's clock. It may be set, and it goes on while a machine sleeps, so
        leases of live processes may have expired. Our own clock either stops during the sleep, or
        shows how late this round is.
        """
        with self.services.database.read() as connection:
            moment = repair.moment(connection)
        before, self.ahead = self.ahead, moment - self.clock()
        jump = 0.0 if before is None else self.ahead - before
        slept = 0.0 if self.idle_since is None else self.clock() - self.idle_since - TICK_SECONDS
        if max(abs(jump), slept) > self.services.settings.lease_seconds / RENEWALS:
            self._be_quiet()
            log.warning("reconciler.clock_jumped", seconds=round(jump, 1), slept=round(slept, 1))

    def _try_write(self) -> None:
        """Write like a lease renewal does. While a database answers but refuses writes, this raises
        ServiceAway, and leases get their one length after it accepts writes again."""
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
                self._be_quiet()  # the lock was held long, so lease renewals had to wait, too
                return
            if due:
                self._reclaim_expired(connection, moved)
            if recount:
                self.next_recount = self.clock() + RECOUNT_SECONDS
                repaired, self.recounted = repair.recount(connection, moved, self.recounted)
                if repaired:
                    log.warning("reconciler.mended", nodes=repaired)
        announce(self.services, "", moved)

    def _reclaim_expired(self, connection: Connection, moved: Moved) -> None:
        settings = self.services.settings
        lost = ledger.expire_all(connection)
        nodes = repair.reclaim_nodes(connection, settings.call_attempts_max, moved)
        images = repair.fail_poison(connection, settings.attempts_max, moved)
        log.info("reconciler.reclaimed", calls=lost, nodes=nodes, images=images)

    def _probe_account(self) -> None:
        """Check the balance of an account that the limiter or its jobs show as empty. Resume jobs
        that waited for the end of a day or a month, with their budgets."""
        if self.clock() < self.next_probe:
            return
        self.next_probe = self.clock() + PROBE_SECONDS
        with self.services.database.read() as connection:
            held = state.is_paused(connection, self.services.account, NO_BALANCE)
        stopped = self.services.limiter.paused() == NO_BALANCE
        if held or stopped:
            # where jobs wait and calls do not, or the other way round, a person has resumed one
            self._try_account(at_once=held != stopped)
        else:
            self._try_soon()
        if resumed := resume_jobs(self.services):
            log.info("account.budget_renewed", jobs=resumed)

    def _try_account(self, at_once: bool) -> None:
        is_time = at_once or self.clock() >= self.next_try
        match probe_account(self.services, is_time):
            case Probed.EMPTY:
                self._try_soon()
            case Probed.TRIED:
                self.next_try = self.clock() + self.try_seconds
                self.try_seconds = min(2 * self.try_seconds, TRY_SECONDS_MAX)

    def _try_soon(self) -> None:
        self.next_try, self.try_seconds = self.clock(), PROBE_SECONDS

    def _tidy_files(self) -> None:
        """Delete what ended jobs left at the provider, old copies of documents, and uploads that
        were never submitted, in another thread: deletions may hang for minutes, and recovery must
        not wait for them."""
        under_way = self.tidying is not None and not self.tidying.done()
        if under_way or self.clock() < self.next_tidy or self.services.limiter.paused():
            return
        self.next_tidy = self.clock() + TIDY_SECONDS
        self.tidying = self.services.deleting.submit(self._tidy)

    def _tidy(self) -> None:
        try:
            Documents.of(self.services.settings, self.services.decoder).delete_old()
            if tidy(self.services, NEXT_QUESTION_SECONDS) >= TIDY_AT_ONCE:
                self.next_tidy = 0.0  # there are more
            if self.clock() >= self.next_sweep:
                self.next_sweep = self.clock() + SWEEP_SECONDS
                self._sweep()
        except OverstoryError as error:
            log.warning("reconciler.tidies_later", error=str(error))
        except Exception:
            if not self.services.stopping.is_set():  # stopping cancels what has not begun
                log.exception("reconciler.failed")

    def _sweep(self) -> None:
        swept = sweep_unsubmitted(self.services)
        if swept.uploads:
            log.info("uploads.unsubmitted_deleted", uploads=swept.uploads, bytes=swept.bytes)

    def _top_up(self) -> None:
        """Send messages for due work, up to a window: one tick refills a wiped queue."""
        calls = min(2 * self.services.settings.limits.concurrency, CALL_WINDOW_MAX)
        with self.services.database.read() as connection:
            waiting = claims.waiting_work(connection, self.services.account, calls)
        for stage, units in waiting.items():
            window = WAKE_UPS if stage.by_image else calls
            for _ in range(min(units, window) - self.services.queued(stage.name)):
                self.services.send(stage.name)
