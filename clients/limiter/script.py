"""What the limiter's Lua script takes and returns, as values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from core.account import adaptive_limit, auto_limit
from core.account.adaptive_limit import AdaptiveLimit, Climb
from core.account.auto_limit import Cohort
from core.account.wait_histogram import observations
from core.catalog.tiers import AUTO_START, AccountLimits
from core.errors import LimitKind

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
class AutoState:
    """``level``: calls in flight that have paid so far; ``trial``: those tried now; ``most``: those
    that it may grow to; ``why``: what decided last (core.account.auto_limit)."""

    level: int
    trial: int
    most: int
    why: str


@dataclass(frozen=True, slots=True)
class AccountState:
    """What the account uses now, and what it may use.

    ``requests`` and ``tokens`` count those in the rolling window of ``window_seconds``.
    ``learned``: the ``configured`` limits after the adaptive limits are applied. ``ceilings``:
    limits that the provider named in a 429. ``binds``: why the next call would wait, or None.
    ``auto``: how far the limit of calls in flight is that finds itself, else None.
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
    auto: AutoState | None = None


def script_text(auto: bool) -> str:
    """The Lua script with the constants that it shares with core.account."""
    constants = {
        "START": AUTO_START if auto else "nil",
        "COHORT_MIN": auto_limit.COHORT_MIN,
        "FAILED_MIN": auto_limit.FAILED_MIN,
        "FAILED_SHARE": auto_limit.FAILED_SHARE,
        "REFUSED_MIN": adaptive_limit.REFUSED_MIN,
        "REFUSED_SHARE": adaptive_limit.REFUSED_SHARE,
        "PROBE_US": microseconds(adaptive_limit.PROBE_SECONDS),
        "PROBE_GROWTH": adaptive_limit.PROBE_GROWTH,
        "PROBE_US_MAX": microseconds(adaptive_limit.PROBE_SECONDS_MAX),
        "PROBE_IDLE_US": microseconds(adaptive_limit.PROBE_IDLE_SECONDS),
    }
    head = "".join(f"local {name} = {value}\n" for name, value in constants.items())
    return head + Path(__file__).with_name("limiter.lua").read_text()


def microseconds(seconds: float) -> int:
    return round(seconds * 1e6)


def triples(waited: Mapping[str, float]) -> list[str | int]:
    """The script's triples: kind, bucket, microseconds."""
    return [arg for kind, n, s in observations(waited) for arg in (kind, n, microseconds(s))]


def limit_of(limits: AccountLimits, kind: LimitKind) -> int:
    return (limits.concurrency, limits.rpm, limits.tpm)[KINDS.index(kind)]


def kind_named(name: str) -> LimitKind | Hold:
    return Hold(name) if name in set(Hold) else LimitKind(name)


def limit_in(text: str) -> AdaptiveLimit | None:
    if not text:
        return None
    fields = json.loads(text)
    climb = fields.pop("climb", None)
    return AdaptiveLimit(**fields, climb=Climb(**climb) if climb else None)


def refused_reply(reply: list[Any]) -> list[Any]:
    """The reply to ``refused`` with its last part, which may be missing, as a list."""
    return [*reply[:7], reply[7:]]


def cohort_of(now: float, failing: int | None, fields: Mapping[str, str]) -> Cohort:
    kinds = {
        name[1:]: (int(calls), int(fields[f"u{name[1:]}"]) / 1e6, int(fields[f"q{name[1:]}"]) / 1e6)
        for name, calls in fields.items()
        if name.startswith("c")
    }
    in_flight = int(fields.get("flight", 0)) / int(fields.get("n", 1))
    return Cohort(kinds, in_flight, failing, now)


def state_of(
    reply: list[Any], configured: AccountLimits, window_seconds: float, auto: bool
) -> AccountState:
    in_flight, requests, tokens, paused, probe_every, outage, binds, *rest = reply[1:]
    learned = list(zip(KINDS, map(limit_in, rest[3:]), strict=True))
    return AccountState(
        in_flight=in_flight,
        requests=requests,
        tokens=tokens,
        configured=configured,
        learned=AccountLimits(*rest[:3]),
        ceilings={kind: int(limit.ceiling) for kind, limit in learned if limit and limit.named},
        paused=paused or None,
        probe_seconds=probe_every / 1e6 or None,
        binds=kind_named(binds) if binds else None,
        window_seconds=window_seconds,
        outage_seconds=outage / 1e6 if probe_every else None,
        auto=auto_state(learned[0][1], configured.concurrency) if auto else None,
    )


def auto_state(limit: AdaptiveLimit | None, most: int) -> AutoState:
    climb = auto_limit.climb_of(limit, most)
    return AutoState(min(climb.level, most), min(climb.trial, most), most, climb.why)
