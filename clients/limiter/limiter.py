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
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from clients.redis import RedisServer
from core.account import adaptive_limit
from core.account.adaptive_limit import AdaptiveLimit, Refusal
from core.account.wait_histogram import WaitHistogram, observations, read
from core.catalog.tiers import AccountLimits
from core.errors import LimitKind, ProviderDown, SlowDown

KINDS = (LimitKind.CONCURRENCY, LimitKind.RPM, LimitKind.TPM)
"""The order of every triple here and in limiter.lua."""


class Hold(StrEnum):
    """Reasons, other than the three limits, why all calls of the account wait."""

    PAUSED = "paused"  # by pause(), until resume()
    COOLING = "cooling"  # a 429 arrived a moment ago
    REFUSED = "refused"  # the provider refuses everything: one probe at a time


@dataclass(frozen=True, slots=True)
class Admitted:
    """The call may be sent now; end its lease afterwards."""

    lease: str


@dataclass(frozen=True, slots=True)
class Wait:
    """The call was not admitted, because of ``kind``. Do not ask again for ``seconds``."""

    seconds: float
    kind: LimitKind | Hold


@dataclass(frozen=True, slots=True)
class AccountState:
    """What the account uses now, and what it may use.

    ``requests`` and ``tokens`` count those in the rolling window of ``window_seconds``.
    ``learned``: the ``configured`` limits after the adaptive limits are applied. ``ceilings``:
    limits that the provider named in a 429. ``binds``: why the next call would wait, or None.
    """

    in_flight: int
    requests: int
    tokens: int
    configured: AccountLimits
    learned: AccountLimits
    ceilings: dict[LimitKind, int]
    paused: str | None
    probe_seconds: float | None  # between probes, while everything is refused
    binds: LimitKind | Hold | None
    window_seconds: float
    outage_seconds: float | None = None  # how long everything has been refused


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
    time, in tests only.
    """

    def __init__(
        self,
        url: str,
        account: str,
        limits: AccountLimits,
        window_seconds: float = 60.0,
        arrival_guard_seconds: float = 1.0,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._server = RedisServer(url)
        self._script = self._server.script(_script_text())
        self._keys = [
            f"overstory:limiter:{{{account}}}:{name}"
            for name in ("leases", "calls", "ticks", "window", "state", "ended", "waits")
        ]
        self._limits = limits
        self._window = window_seconds
        self._spans = (_us(window_seconds), _us(arrival_guard_seconds))
        self._clock = clock

    def acquire(
        self, lease: str, tokens: int, ttl_seconds: float, waited: Mapping[str, float] | None = None
    ) -> Admitted | Wait:
        most = [_of(self._limits, kind) for kind in KINDS]
        added = () if waited is None else _added(waited)
        admitted, *wait = self._do("acquire", lease, tokens, _us(ttl_seconds), *most, *added)
        return Admitted(lease) if admitted else Wait(wait[0] / 1e6, _kind(wait[1]))

    def renew(self, lease: str, ttl_seconds: float) -> bool:
        return bool(self._do("renew", lease, _us(ttl_seconds)) == 1)

    def settle(
        self,
        lease: str,
        tokens: int | None,
        completion_tokens: int = 0,
        sent_after_seconds: float = 0.0,
    ) -> None:
        known = "" if tokens is None else tokens
        self._do("settle", lease, known, completion_tokens, _us(sent_after_seconds))

    def cancel(self, lease: str) -> None:
        self._do("cancel", lease)

    def slow_down(self, lease: str, error: SlowDown) -> None:
        kind, named = adaptive_limit.blamed(error.kind, error.limit)
        *numbers, probing, old = self._do("refused", lease, kind, 1, 0)
        refusal = self._refusal(numbers, kind, named)
        new = None if probing else adaptive_limit.cut(_adaptive_limit(old), refusal)
        hold = _us(adaptive_limit.cool_down(self._window, error.retry_after))
        if new is not None:  # if another process cuts first, it had the same cause: keep its cut
            self._do("learn", kind, old, json.dumps(asdict(new)), hold)
        elif error.retry_after is not None:
            self._do("learn", "", "", "", hold)

    def provider_down(self, lease: str, error: ProviderDown) -> None:
        self._do("refused", lease, "", int(error.sent), "" if error.sent else 0)

    def recovered(self) -> None:
        self._do("recovered")

    def pause(self, reason: str) -> None:
        self._do("pause", reason)

    def resume(self) -> None:
        self._do("resume")

    def paused(self) -> str | None:
        return self.state().paused

    def state(self) -> AccountState:
        reply = self._do("state", *(_of(self._limits, kind) for kind in KINDS))
        return _state(reply, self._limits, self._window)

    def waited(self, waited: Mapping[str, float]) -> None:
        self._do("waited", *_added(waited))

    def waits(self) -> dict[str, WaitHistogram]:
        fields = iter(self._do("waits"))
        return read({field: int(value) for field, value in zip(fields, fields, strict=True)})

    def close(self) -> None:
        self._server.close()

    def _refusal(self, numbers: list[int], kind: LimitKind, named: int | None) -> Refusal:
        now, admitted, *used = numbers
        return Refusal(
            configured=_of(self._limits, kind),
            used=used[KINDS.index(kind)],
            named=named,
            admitted=None if admitted < 0 else admitted / 1e6,
            now=now / 1e6,
            window=self._window,
        )

    def _do(self, command: str, *args: str | int) -> Any:
        clock = _us(self._clock()) if self._clock else ""
        return self._script(self._keys, [command, *self._spans, clock, *args])


def _script_text() -> str:
    """The Lua script with the constants that it shares with core.account.adaptive_limit."""
    constants = {
        "REFUSED_MIN": adaptive_limit.REFUSED_MIN,
        "REFUSED_SHARE": adaptive_limit.REFUSED_SHARE,
        "PROBE_US": _us(adaptive_limit.PROBE_SECONDS),
        "PROBE_GROWTH": adaptive_limit.PROBE_GROWTH,
        "PROBE_US_MAX": _us(adaptive_limit.PROBE_SECONDS_MAX),
        "PROBE_IDLE_US": _us(adaptive_limit.PROBE_IDLE_SECONDS),
    }
    head = "".join(f"local {name} = {value}\n" for name, value in constants.items())
    return head + Path(__file__).with_name("limiter.lua").read_text()


def _us(seconds: float) -> int:
    return round(seconds * 1e6)


def _added(waited: Mapping[str, float]) -> list[str | int]:
    """The script's triples: kind, bucket, microseconds."""
    return [arg for kind, n, s in observations(waited) for arg in (kind, n, _us(s))]


def _of(limits: AccountLimits, kind: LimitKind) -> int:
    return (limits.concurrency, limits.rpm, limits.tpm)[KINDS.index(kind)]


def _kind(name: str) -> LimitKind | Hold:
    return Hold(name) if name in set(Hold) else LimitKind(name)


def _adaptive_limit(text: str) -> AdaptiveLimit | None:
    return AdaptiveLimit(**json.loads(text)) if text else None


def _state(reply: list[Any], configured: AccountLimits, window_seconds: float) -> AccountState:
    in_flight, requests, tokens, paused, probe_every, outage, binds, *rest = reply[1:]
    learned = zip(KINDS, map(_adaptive_limit, rest[3:]), strict=True)
    return AccountState(
        in_flight=in_flight,
        requests=requests,
        tokens=tokens,
        configured=configured,
        learned=AccountLimits(*rest[:3]),
        ceilings={kind: int(limit.ceiling) for kind, limit in learned if limit and limit.named},
        paused=paused or None,
        probe_seconds=probe_every / 1e6 or None,
        binds=_kind(binds) if binds else None,
        window_seconds=window_seconds,
        outage_seconds=outage / 1e6 if probe_every else None,
    )
