"""The limiter in plain Python: what limiter.lua must do, said as simply as possible.

It keeps every call in one list and counts by walking it, so it shares no trick with the Lua; the
contract suite runs over both and a property test compares their answers step by step. It lives
with the tests because nothing else runs it: the embedded stack has a real server. One process,
one thread.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from clients.limiter.script import KINDS, AccountState, Admitted, AutoState, Hold, Wait
from core.account import adaptive_limit as gauges
from core.account import auto_limit
from core.account.adaptive_limit import AdaptiveLimit, Climb, Refusal
from core.account.allowance import Allowance, named_limit
from core.account.auto_limit import Cohort, Crowded
from core.account.wait_histogram import WaitHistogram, observations, read
from core.catalog.tiers import AUTO_START, NO_LIMIT, AccountLimits
from core.errors import LimitKind, ProviderDown, SlowDown

ENDED_US = 10_000_000
TICKS_LOOKED_AT = 200


@dataclass(slots=True)
class Entry:
    """What one call, or the late part of one, holds in the window until ``leaves``."""

    leaves: int
    requests: int
    tokens: int


@dataclass(slots=True)
class Call:
    """A call in flight; ``entry`` is None for one that came back by renewal."""

    admitted: int
    expires: int
    entry: Entry | None


@dataclass(slots=True)
class Compared:
    """The calls that are judged next where the limit finds itself: of the cohort, those in flight
    and how long the others took by kind; and all that have ended since the limit moved."""

    need: int = 0
    last: int = 0
    flights: list[int] = field(default_factory=list)
    running: set[str] = field(default_factory=set)
    open: int = 0
    took: dict[str, list[int]] = field(default_factory=dict)
    ended: int = 0
    failed: int = 0


@dataclass(slots=True)
class Refusals:
    """Since the first refusal after a success."""

    since: int
    refused: int = 0
    admitted: int = 0
    every: int = 0  # microseconds between probes; 0: not probing
    next_probe: int = 0
    probing_since: int = 0


@dataclass(slots=True)
class ModelLimiter:
    """clients.limiter.Limiter for one thread; ``clock`` in seconds."""

    limits: AccountLimits
    window_seconds: float
    arrival_guard_seconds: float
    clock: Callable[[], float]
    calls: dict[str, Call] = field(default_factory=dict)
    ended: dict[str, int] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    gauges: dict[LimitKind, AdaptiveLimit | None] = field(default_factory=dict)
    refusals: Refusals | None = None
    reason: str | None = None
    hold: int = 0
    service: float = 0.0
    auto: bool = False
    named: dict[LimitKind, int] = field(default_factory=dict)
    compared: Compared = field(default_factory=Compared)
    fields: dict[str, int] = field(default_factory=dict)
    sent_at: float | None = None

    # what the Limiter protocol asks for

    def acquire(
        self,
        lease: str,
        tokens: int,
        ttl_seconds: float,
        waited: Mapping[str, float] | None = None,
    ) -> Admitted | Wait:
        now = self._tidy()
        if lease in self.calls:
            return Admitted(lease)
        wait = self._waiting(tokens, now)
        if wait:
            return wait
        entry = Entry(self._leaving(now + _us(self.arrival_guard_seconds)), 1, tokens)
        self.entries.append(entry)
        self.calls[lease] = Call(now, now + _us(ttl_seconds), entry)
        self.ended.pop(lease, None)
        self._join(lease, now)
        self._count_admission(now)
        if waited is not None:
            self.waited(waited)
        return Admitted(lease)

    def renew(self, lease: str, ttl_seconds: float) -> bool:
        now = self._tidy()
        if lease in self.ended:
            return False
        known = lease in self.calls
        call = self.calls.setdefault(lease, Call(now, 0, None))
        call.expires = now + _us(ttl_seconds)
        return known

    def settle(
        self,
        lease: str,
        tokens: int | None,
        completion_tokens: int = 0,
        sent_after_seconds: float = 0.0,
    ) -> None:
        call = self.calls.get(lease)
        if call is None:
            return
        now, reserved = self._now(), call.entry.tokens if call.entry else 0
        kind = auto_limit.kind_of(tokens - completion_tokens, completion_tokens) if tokens else ""
        if tokens is None:
            self._finish(lease, 1, reserved, sent_after_seconds)
            self._judge(self._leave(lease, call, kind))
            return
        late = min(tokens, max(completion_tokens, tokens - reserved))
        self._finish(lease, 1, tokens - late, sent_after_seconds)
        self.entries.append(Entry(self._leaving(now), 0, late))
        self._succeeded(call, now)
        self._judge(self._leave(lease, call, kind))

    def cancel(self, lease: str) -> None:
        call = self._finish(lease, 0, 0)
        if call:
            self._leave(lease, call, "")
        if call and self.refusals and call.admitted >= self.refusals.since:
            self.refusals.admitted -= 1

    def slow_down(self, lease: str, error: SlowDown) -> None:
        kind, named = gauges.blamed(error.kind, error.limit)
        now, used = self._tidy(), self._used()[KINDS.index(kind)]
        call = self._finish(lease, 1, 0)
        self._strike(call, now)
        if call:
            self._leave(lease, call, "")
        probing = self.refusals is not None and self.refusals.every > 0
        if self.auto and kind is LimitKind.CONCURRENCY and not probing:
            named = error.limit if error.kind is LimitKind.CONCURRENCY else None
            crowd = Crowded(used, named, call.admitted / 1e6 if call else None, now / 1e6)
            new = auto_limit.crowded(self.gauges.get(kind), self.limits.concurrency, crowd)
            self._learn_concurrency(new)
            seconds = max(gauges.asked_for(error.retry_after), auto_limit.pause_after(new))
            self.hold = max(self.hold, now + _us(seconds))
            return
        configured = getattr(self.limits, kind)
        refusal = Refusal(
            configured=configured if configured < NO_LIMIT else max(named or used, 1),
            used=used,
            named=named,
            admitted=call.admitted / 1e6 if call else None,
            now=now / 1e6,
            window=self.window_seconds,
        )
        new = None if probing else gauges.cut(self.gauges.get(kind), refusal)
        self.gauges[kind] = new or self.gauges.get(kind)
        if new or error.retry_after is not None:
            cool_down = gauges.cool_down(self.window_seconds, error.retry_after)
            self.hold = max(self.hold, now + _us(cool_down))

    def provider_down(self, lease: str, error: ProviderDown) -> None:
        now, call = self._tidy(), self.calls.get(lease)
        reserved = call.entry.tokens if call and call.entry else 0
        self._finish(lease, int(error.sent), reserved if error.sent else 0)
        self._strike(call, now)
        cohort = self._leave(lease, call, "failed") if call else None
        if self.refusals is None or not self.refusals.every:
            self._judge(cohort)

    def heard(self, allowances: Sequence[Allowance]) -> None:
        for said in allowances if self.auto else ():
            if said.a_minute is not None and self.named.get(said.kind) != said.a_minute:
                self.named[said.kind] = said.a_minute
                self.gauges[said.kind] = named_limit(said.a_minute, self._tidy() / 1e6)
            self.hold = max(self.hold, self._now() + _us(said.hold_seconds))

    def recovered(self) -> None:
        self.refusals = None

    def pause(self, reason: str) -> None:
        self.reason = reason

    def resume(self) -> None:
        self.reason = None

    def paused(self) -> str | None:
        return self.reason

    def state(self) -> AccountState:
        now = self._tidy()
        in_flight, requests, tokens = self._used()
        waiting = self._waiting(tokens / max(1, requests), now)
        return AccountState(
            in_flight=in_flight,
            requests=requests,
            tokens=tokens,
            configured=self.limits,
            learned=self._allowed(now),
            ceilings={k: int(g.ceiling) for k, g in self.gauges.items() if g and g.named},
            paused=self.reason,
            probe_seconds=self.refusals.every / 1e6 or None if self.refusals else None,
            binds=waiting.kind if waiting else None,
            window_seconds=self.window_seconds,
            outage_seconds=self._probing_for(now),
            auto=self._auto_state(),
        )

    def waited(self, waited: Mapping[str, float]) -> None:
        for kind, bucket, seconds in observations(waited):
            for name, more in ((f"{kind}:{bucket}", 1), (f"{kind}:us", _us(seconds))):
                self.fields[name] = self.fields.get(name, 0) + more

    def waits(self) -> dict[str, WaitHistogram]:
        return read(self.fields)

    def sent(self, bytes_a_second: float) -> None:
        self.sent_at = bytes_a_second

    def uplink(self) -> float | None:
        return self.sent_at

    def close(self) -> None:
        pass

    # how

    def _now(self) -> int:
        return _us(self.clock())

    def _leaving(self, moment: int) -> int:
        tick = max(1, _us(self.window_seconds) // 10_000)
        return math.ceil((moment + _us(self.window_seconds)) / tick) * tick

    def _tidy(self) -> int:
        now = self._now()
        self.entries = [entry for entry in self.entries if entry.leaves > now]
        self.calls = {lease: call for lease, call in self.calls.items() if call.expires > now}
        self.ended = {lease: at for lease, at in self.ended.items() if at > now - ENDED_US}
        self._pull_back(now)
        return now

    def _pull_back(self, now: int) -> None:
        """After the clock was set back: what is far ahead counts as if it had begun now."""
        guard = _us(self.arrival_guard_seconds)
        latest, leaves = now + 2 * (_us(self.window_seconds) + guard), self._leaving(now + guard)
        far = [entry for entry in self.entries if entry.leaves > latest]
        for call in self.calls.values():
            if any(call.entry is entry for entry in far):
                call.admitted = now
        for entry in far:
            entry.leaves = leaves
        if far and self.hold > latest:
            self.hold = leaves

    def _used(self) -> tuple[int, int, int]:
        requests = sum(entry.requests for entry in self.entries)
        return len(self.calls), requests, sum(entry.tokens for entry in self.entries)

    def _waiting(self, tokens: float, now: int) -> Wait | None:
        return self._stopped(now) or self._bound(tokens, now)

    def _stopped(self, now: int) -> Wait | None:
        if self.reason is not None:
            return Wait(2.0, Hold.PAUSED)
        if self.hold > now:
            return Wait((self.hold - now) / 1e6, Hold.COOLING)
        if self.refusals and self.refusals.every and self.refusals.next_probe > now:
            return Wait((self.refusals.next_probe - now) / 1e6, Hold.REFUSED)
        return None

    def _allowed(self, now: int) -> AccountLimits:
        limits = AccountLimits(
            *(
                gauges.effective(self.gauges.get(kind), getattr(self.limits, kind), now / 1e6)
                for kind in KINDS
            )
        )
        if self.auto and self.gauges.get(LimitKind.CONCURRENCY) is None:
            return replace(limits, concurrency=min(AUTO_START, limits.concurrency))
        return limits

    def _bound(self, tokens: float, now: int) -> Wait | None:
        most = self._allowed(now)
        in_flight, requests, spent = self._used()
        waits = []
        if requests + 1 > most.rpm:
            waits.append(Wait(self._until("requests", requests + 1 - most.rpm, now), KINDS[1]))
        if spent > 0 and spent + tokens > most.tpm:
            need = min(spent, spent + tokens - most.tpm)
            waits.append(Wait(self._until("tokens", need, now), KINDS[2]))
        if not waits and in_flight + 1 > most.concurrency:
            waits.append(Wait(self._until_slot(in_flight), KINDS[0]))
        return max(waits, key=lambda wait: wait.seconds, default=None)

    def _until(self, what: str, need: float, now: int) -> float:
        freed = 0
        ticks = sorted({entry.leaves for entry in self.entries})[:TICKS_LOOKED_AT]
        for tick in ticks:
            freed += sum(getattr(entry, what) for entry in self.entries if entry.leaves == tick)
            if freed >= need:
                return (tick - now) / 1e6
        return (ticks[-1] - now) / 1e6

    def _until_slot(self, in_flight: int) -> float:
        share = min(self.service / 20, self.service / in_flight)
        return math.floor(max(5_000, min(100_000, share))) / 1e6

    def _probing_for(self, now: int) -> float | None:
        if self.refusals is None or not self.refusals.every:
            return None
        return (now - self.refusals.probing_since) / 1e6

    def _count_admission(self, now: int) -> None:
        if self.refusals:
            self.refusals.admitted += 1
            if now - self.refusals.next_probe > _us(gauges.PROBE_IDLE_SECONDS):
                self.refusals.probing_since = now
            self.refusals.next_probe = now + self.refusals.every

    def _finish(
        self, lease: str, requests: int, tokens: int, sent_after: float = math.inf
    ) -> Call | None:
        call = self.calls.pop(lease, None)
        now = self._now()
        if call is None:
            return None
        if call.entry and call.entry.leaves > now:
            sent = call.admitted / 1e6 + sent_after + self.arrival_guard_seconds
            call.entry.leaves = self._leaving(min(now, _us(sent)) if sent < math.inf else now)
            call.entry.requests, call.entry.tokens = requests, tokens
        self.ended[lease] = now
        return call

    def _succeeded(self, call: Call, now: int) -> None:
        if self.refusals and call.admitted >= self.refusals.since:
            self.refusals = None
        lasted = now - call.admitted
        mean = self.service + (lasted - self.service) / 16 if self.service else lasted
        self.service = float(f"{mean:.0f}")

    def _strike(self, call: Call | None, now: int) -> None:
        refusals = self.refusals
        if call is None or (refusals and call.admitted < refusals.since):
            return
        if refusals is None:
            self.refusals = Refusals(now)
        elif refusals.every:
            longer = math.floor(refusals.every * gauges.PROBE_GROWTH)
            refusals.every = min(_us(gauges.PROBE_SECONDS_MAX), longer)
            refusals.next_probe = now + refusals.every
        else:
            refusals.refused += 1
            self._probe_when_all_are_refused(refusals, now)

    def _probe_when_all_are_refused(self, refusals: Refusals, now: int) -> None:
        enough = refusals.refused >= gauges.REFUSED_MIN
        if enough and refusals.refused >= gauges.REFUSED_SHARE * refusals.admitted:
            every = _us(gauges.PROBE_SECONDS)
            self.refusals = Refusals(now, 0, 0, every, next_probe=now + every, probing_since=now)

    # where the limit of calls in flight finds itself

    def _climb(self) -> Climb:
        return auto_limit.climb_of(self.gauges.get(LimitKind.CONCURRENCY), self.limits.concurrency)

    def _auto_state(self) -> AutoState | None:
        climb, most = self._climb(), self.limits.concurrency
        state = AutoState(min(climb.level, most), min(climb.trial, most), most, climb.why)
        return state if self.auto else None

    def _join(self, lease: str, now: int) -> None:
        limit, cohort = self.gauges.get(LimitKind.CONCURRENCY), self.compared
        climb = self._climb() if limit else Climb(0, 0, 0.0, auto_limit.COHORT_MIN)
        late = now >= climb.since * 1e6 and len(self.calls) >= climb.full
        if self.auto and late and len(cohort.flights) < climb.need:
            cohort.need, cohort.last = climb.need, now
            cohort.flights.append(len(self.calls))
            cohort.running.add(lease)
            cohort.open += 1

    def _leave(self, lease: str, call: Call, kind: str) -> Cohort | None:
        """A call has ended. The cohort, if it can be judged now."""
        now, cohort, limit = self._now(), self.compared, self.gauges.get(LimitKind.CONCURRENCY)
        failing = False
        if call.admitted >= (limit.grows_at * 1e6 if limit else 0):
            cohort.ended += 1
            cohort.failed += kind == "failed"
            enough = max(auto_limit.FAILED_MIN, auto_limit.FAILED_SHARE * cohort.ended)
            failing = kind == "failed" and cohort.failed >= enough
        if lease in cohort.running:
            cohort.running.remove(lease)
            cohort.open -= 1
            if kind not in ("", "failed"):
                cohort.took.setdefault(kind, []).append(now - call.admitted)
        full = 0 < cohort.need <= len(cohort.flights)
        late = now - cohort.last > 4 * self.service
        ripe = full and (cohort.open <= cohort.need / 10 or late)
        if not self.auto or not (ripe or failing):
            return None
        kinds = {
            kind: (len(us), sum(us) / 1e6, sum(int(f"{(n / 1000) ** 2:.0f}") for n in us) / 1e6)
            for kind, us in cohort.took.items()
        }
        in_flight = sum(cohort.flights) / max(len(cohort.flights), 1)
        return Cohort(kinds, in_flight, len(self.calls) if failing else None, now / 1e6)

    def _judge(self, cohort: Cohort | None) -> None:
        if cohort is not None:
            limit = self.gauges.get(LimitKind.CONCURRENCY)
            self._learn_concurrency(auto_limit.judged(limit, self.limits.concurrency, cohort))

    def _learn_concurrency(self, limit: AdaptiveLimit) -> None:
        self.gauges[LimitKind.CONCURRENCY] = limit
        self.compared = Compared()


def _us(seconds: float) -> int:
    return round(seconds * 1e6)
