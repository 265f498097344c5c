"""The account limiter: concurrency, requests and tokens of one account across all processes.

One atomic step admits a call only if all three are free. limiter.lua documents keys, arguments and
replies. The caller's part:

    acquire -> send -> settle        every end of a call ends its lease, exactly one of:
                       settle        answered (also 400 and 451: with tokens=0 if none is known)
                       slow_down     429
                       provider_down 5xx, timeout, broken connection
                       cancel        never sent
    renew, every third of the ttl, while the call runs

A lease that nobody ends expires. Its slot is free then, but its request and tokens stay in the
window, because they may have been sent. So the ttl must be longer than the call at the provider.

FLUSHALL deletes the window and the leases. Calls in flight register again with their next renewal,
so at most twice the limit is in flight, for at most one renewal interval. Without the old window, a
second full share of requests and tokens may pass, which the provider answers with 429.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Protocol

from clients.limiter.script import (
    KINDS,
    AccountState,
    Admitted,
    Hold,
    Wait,
    cohort_of,
    kind_named,
    limit_in,
    limit_of,
    microseconds,
    refused_reply,
    script_text,
    state_of,
    triples,
)
from clients.redis import RedisServer
from core.account import adaptive_limit, auto_limit
from core.account.adaptive_limit import Refusal
from core.account.allowance import Allowance, named_limit
from core.account.auto_limit import Crowded
from core.account.wait_histogram import WaitHistogram, read
from core.catalog.tiers import NO_LIMIT, AccountLimits
from core.errors import LimitKind, ProviderDown, SlowDown

__all__ = ["KINDS", "AccountState", "Admitted", "Hold", "Wait"]

HASTY_SECONDS = 2.0
"""How long a person's command waits for the server, twice."""
CAS_TRIES = 5
"""How often a refusal is applied again if another process has changed the limit meanwhile."""

UPLINK_SECONDS = 600
"""How long a measurement of the line is believed: then requests with images try it again."""


class Limiter(Protocol):
    """Admits calls to the provider. Any method may raise ServiceAway: then send nothing."""

    def acquire(
        self, lease: str, tokens: int, ttl_seconds: float, waited: Mapping[str, float] | None = None
    ) -> Admitted | Wait:
        """Ask to send a call of an estimated ``tokens`` under the caller's id ``lease``.

        ``waited``: seconds it waited before, by the ``kind`` of each Wait. They are counted when it
        is admitted (an empty mapping: it did not wait; None: do not count it).

        With a live lease the answer is Admitted again, and nothing more is taken. After a
        ServiceAway it is unknown whether the call was admitted: ask again or cancel. A call larger
        than the whole token limit is admitted when it is alone in the window.
        """

    def renew(self, lease: str, ttl_seconds: float) -> bool:
        """Keep a running call's slot. False: it had ended, or was unknown and counts again now."""

    def settle(
        self,
        lease: str,
        tokens: int | None,
        completion_tokens: int = 0,
        sent_after_seconds: float = 0.0,
    ) -> None:
        """The call was answered. ``tokens``: its total usage, or None to keep the estimate.

        The provider counts ``completion_tokens`` of them only with the reply.
        ``sent_after_seconds``: time from the admission to the sending. Does nothing for a lease
        that is unknown or settled already.
        """

    def cancel(self, lease: str) -> None:
        """The call was never sent: release its slot, request and tokens."""

    def slow_down(self, lease: str, error: SlowDown) -> None:
        """The call was answered 429: its request stays counted, its slot and tokens are released.

        Cuts the adaptive limit that the 429 names, once for each cause, and admits nothing for a
        moment. While everything is refused it cuts nothing: none of our limits is the cause.
        """

    def provider_down(self, lease: str, error: ProviderDown) -> None:
        """The call failed with 5xx, a timeout or a broken connection.

        If it was sent, its request and tokens stay counted. When everything fails, the account
        sends one probe a second, then fewer, until the first success.
        """

    def heard(self, allowances: Sequence[Allowance]) -> None:
        """The headers of a reply said so. Where the limits are set, they stay."""

    def recovered(self) -> None:
        """The provider is known to answer again: stop probing."""

    def pause(self, reason: str) -> None:
        """Admit nothing until ``resume``. The pause expires after a day without requests."""

    def resume(self) -> None:
        """Admit calls again. Does nothing when not paused."""

    def paused(self) -> str | None:
        """The reason given to ``pause``, or None."""

    def state(self) -> AccountState:
        """What is used and allowed now, for people and metrics."""

    def waited(self, waited: Mapping[str, float]) -> None:
        """Count waits (seconds by kind) that did not end in an admission."""

    def waits(self) -> dict[str, WaitHistogram]:
        """All counted waits of the account by kind; ``none``: calls that did not wait. The counters
        start again at zero after a day without calls."""

    def sent(self, bytes_a_second: float) -> None:
        """So fast were requests with images inside taken by the line."""

    def uplink(self) -> float | None:
        """What ``sent`` was told last, in bytes a second; None after ten minutes without it."""

    def close(self) -> None:
        """Close the connections; leases stay."""


def account_id(api_key: str, base_url: str) -> str:
    """A short id for the account of a key at an endpoint. It does not reveal the key."""
    return hashlib.sha256(f"{base_url.rstrip('/')}\n{api_key}".encode()).hexdigest()[:16]


class RedisLimiter:
    """The limiter on a Redis or Valkey server, shared by all processes that use ``account``.

    ``arrival_guard_seconds``: the longest time a request travels from us to the provider. The
    window is that much longer for slower calls: 1 s costs 1.7 % of the request and token limits,
    0 assumes that all requests travel for the same time. ``clock`` (seconds) replaces the server's
    time, in tests only. ``auto``: the limit of calls in flight finds itself, below the one given.
    ``patient``: whether to try for 20 s where the server does not answer; a person's command does
    not.
    """

    def __init__(
        self,
        url: str,
        account: str,
        limits: AccountLimits,
        window_seconds: float = 60.0,
        arrival_guard_seconds: float = 1.0,
        clock: Callable[[], float] | None = None,
        auto: bool = False,
        patient: bool = True,
    ) -> None:
        self._server = RedisServer(url) if patient else RedisServer(url, HASTY_SECONDS, retries=1)
        self._script = self._server.script(script_text(auto))
        self._keys = [
            f"overstory:limiter:{{{account}}}:{name}"
            for name in ("leases", "calls", "ticks", "window", "state", "ended", "waits", "cohort")
        ]
        self._uplink = f"overstory:limiter:{{{account}}}:uplink"
        self._auto = auto
        self._heard: dict[LimitKind, int] = {}  # named by the last headers: most change nothing
        self._limits = limits
        self._window = window_seconds
        self._spans = (microseconds(window_seconds), microseconds(arrival_guard_seconds))
        self._clock = clock

    def acquire(
        self, lease: str, tokens: int, ttl_seconds: float, waited: Mapping[str, float] | None = None
    ) -> Admitted | Wait:
        most = [limit_of(self._limits, kind) for kind in KINDS]
        added = () if waited is None else triples(waited)
        ttl = microseconds(ttl_seconds)
        admitted, *wait = self._do("acquire", lease, tokens, ttl, *most, *added)
        return Admitted(lease) if admitted else Wait(wait[0] / 1e6, kind_named(wait[1]))

    def renew(self, lease: str, ttl_seconds: float) -> bool:
        return bool(self._do("renew", lease, microseconds(ttl_seconds)) == 1)

    def settle(
        self,
        lease: str,
        tokens: int | None,
        completion_tokens: int = 0,
        sent_after_seconds: float = 0.0,
    ) -> None:
        known = "" if tokens is None else tokens
        sent = microseconds(sent_after_seconds)
        kind = auto_limit.kind_of(tokens - completion_tokens, completion_tokens) if tokens else ""
        _, *cohort = self._do("settle", lease, known, completion_tokens, sent, kind)
        self._judge(cohort)

    def cancel(self, lease: str) -> None:
        self._do("cancel", lease)

    def slow_down(self, lease: str, error: SlowDown) -> None:
        kind, named = adaptive_limit.blamed(error.kind, error.limit)
        *numbers, probing, old, _ = refused_reply(self._do("refused", lease, kind, 1, 0))
        if self._auto and kind is LimitKind.CONCURRENCY and not probing:
            self._crowded(lease, error, numbers, old)
            return
        refusal = self._refusal(numbers, kind, named)
        new = None if probing else adaptive_limit.cut(limit_in(old), refusal)
        hold = microseconds(adaptive_limit.cool_down(self._window, error.retry_after))
        if new is not None:  # if another process cuts first, it had the same cause: keep its cut
            self._do("learn", kind, old, json.dumps(asdict(new)), hold)
        elif error.retry_after is not None:
            self._do("learn", "", "", "", hold)

    def provider_down(self, lease: str, error: ProviderDown) -> None:
        reply = self._do("refused", lease, "", int(error.sent), "" if error.sent else 0)
        *_, probing, _, cohort = refused_reply(reply)
        if not probing:
            self._judge(cohort)

    def heard(self, allowances: Sequence[Allowance]) -> None:
        for allowance in allowances if self._auto else ():
            limit, kind = allowance.a_minute, allowance.kind
            if limit is not None and limit != self._heard.get(kind):
                *numbers, _, old, _ = refused_reply(self._do("refused", "", kind, 1, 0))
                new = json.dumps(asdict(named_limit(limit, numbers[0] / 1e6)))
                self._do("learn", kind, old, new, 0)
                self._heard[kind] = limit
            if hold := microseconds(allowance.hold_seconds):
                self._do("learn", "", "", "", hold)

    def recovered(self) -> None:
        self._do("recovered")

    def pause(self, reason: str) -> None:
        self._do("pause", reason)

    def resume(self) -> None:
        self._do("resume")

    def paused(self) -> str | None:
        return self.state().paused

    def state(self) -> AccountState:
        reply = self._do("state", *(limit_of(self._limits, kind) for kind in KINDS))
        return state_of(reply, self._limits, self._window, self._auto)

    def waited(self, waited: Mapping[str, float]) -> None:
        self._do("waited", *triples(waited))

    def waits(self) -> dict[str, WaitHistogram]:
        fields = iter(self._do("waits"))
        return read({field: int(value) for field, value in zip(fields, fields, strict=True)})

    def sent(self, bytes_a_second: float) -> None:
        self._server.put(self._uplink, str(round(bytes_a_second)), UPLINK_SECONDS)

    def uplink(self) -> float | None:
        told = self._server.get(self._uplink)
        return float(told) if told else None

    def close(self) -> None:
        self._server.close()

    def _crowded(self, lease: str, error: SlowDown, numbers: list[int], old: str) -> None:
        """A 429 for calls in flight where their limit finds itself. Each refusal tells something,
        so it is applied again if another one came first."""
        now, admitted, in_flight = numbers[0] / 1e6, numbers[1], numbers[2]
        since = None if admitted < 0 else admitted / 1e6
        refusal = Crowded(
            in_flight, error.limit if error.kind is LimitKind.CONCURRENCY else None, since, now
        )
        most, hold = (
            self._limits.concurrency,
            microseconds(adaptive_limit.asked_for(error.retry_after)),
        )
        for _ in range(CAS_TRIES):
            new = auto_limit.crowded(limit_in(old), most, refusal)
            hold = max(hold, microseconds(auto_limit.pause_after(new)))
            if self._do("learn", LimitKind.CONCURRENCY, old, json.dumps(asdict(new)), hold):
                return
            *_, old, _ = refused_reply(self._do("refused", lease, LimitKind.CONCURRENCY, 1, 0))

    def _judge(self, reply: list[Any]) -> None:
        """Move the limit by a cohort that has ended. If another process was faster, its move
        stays: it had the same cohort."""
        if not reply or reply[0] is None:
            return
        now, old, failing, fields = reply[0]
        counts = dict(zip(fields[::2], fields[1::2], strict=True))
        cohort = cohort_of(int(now) / 1e6, None if failing < 0 else failing, counts)
        new = auto_limit.judged(limit_in(old), self._limits.concurrency, cohort)
        self._do("learn", LimitKind.CONCURRENCY, old, json.dumps(asdict(new)), 0)

    def _refusal(self, numbers: list[int], kind: LimitKind, named: int | None) -> Refusal:
        now, admitted, *all_used = numbers
        used, configured = all_used[KINDS.index(kind)], limit_of(self._limits, kind)
        return Refusal(
            # of a limit that nobody knows, what was used just now is the best guess
            configured=configured if configured < NO_LIMIT else max(named or used, 1),
            used=used,
            named=named,
            admitted=None if admitted < 0 else admitted / 1e6,
            now=now / 1e6,
            window=self._window,
        )

    def _do(self, command: str, *args: str | int) -> Any:
        clock = microseconds(self._clock()) if self._clock else ""
        return self._script(self._keys, [command, *self._spans, clock, *args])
