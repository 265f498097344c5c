"""The adaptive limits of an account: how far a 429 cuts a limit, and how the limit grows back.

A learned limit is a linear function of time, so growing needs no writes: the limiter's Lua
evaluates it (``effective`` here, ``allowed`` there), and only a cut stores a new one. Times are
seconds on the clock of the limiter's server. Limits are calls in flight, or requests or tokens per
window.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from core.errors import LimitKind

CUT = 0.7
"""Share of the use at the refusal that a cut leaves, if the 429 named no lower limit."""
LONE_CALLS, LONE_SHARE = 8, 0.1
"""Use counts as at least so many calls, or this share of the limit: a stray refusal of a lone call
must not cut the limit to nothing."""
SAME_CAUSE_SECONDS = 1.0
"""A 429 of an unknown call belongs to the last cut if that cut is more recent than this."""
RECOVERY_WINDOWS = 3.0
"""Windows until a limit has grown back after a cut."""
PROBE_WINDOWS, PROBE_WINDOWS_MAX = 5.0, 60.0
"""Windows before probing above a ceiling that the provider named; doubled each time it holds."""
PROBE_SHARE = 0.1
"""Share of its ceiling by which a limit grows per window above it, to risk one refusal only."""
COOL_DOWN_SECONDS_MAX = 60.0

REFUSED_MIN, REFUSED_SHARE = 8, 0.75
"""All calls count as refused after so many refusals since the last success, if they are this share
of the admitted calls."""
PROBE_SECONDS, PROBE_GROWTH, PROBE_SECONDS_MAX = 1.0, 1.5, 15.0
"""While all calls are refused: seconds between two probes, their growth, and their maximum."""
PROBE_IDLE_SECONDS = 600.0
"""A probe that comes this much later than it could have restarts the outage: jobs were paused or
the service was off, so the provider's state meanwhile is unknown. Longer than any pause between two
attempts of a lone call."""


@dataclass(frozen=True, slots=True)
class Climb:
    """Where the search for the limit of calls in flight is (core.account.auto_limit).

    ``level``: the best limit so far; ``pace``: of calls there (0: to be measured); ``best`` and
    ``best_pace``: the level with the best value, 0: none, and its pace; ``trial``: what is tried
    now; ``step``: factor of the next growth; ``fails``: growths in a row that did not pay;
    ``turns``: cohorts at rest. A cohort
    is the first ``need`` calls that are admitted after ``since`` with ``full`` calls in flight.
    ``seconds``: a call's mean duration; ``spread``: standard deviation of calls of one
    kind, by their mean. ``ceiling``: where a refusal was met (0: none), probed after ``probe_at``.
    ``cuts``: refusals in a row, and ``before``: calls in flight at the first of them. ``usual``: by
    kind of call, its usual seconds and the calls that this is from. ``why``: what decided last.
    """

    level: int
    trial: int
    step: float
    need: int
    full: int = 1
    since: float = 0.0
    pace: float = 1.0
    best: int = 0
    best_pace: float = 1.0
    seconds: float = 0.0
    spread: float = 0.3
    fails: int = 0
    turns: int = 0
    ceiling: int = 0
    probe_at: float = 0.0
    probe_after: float = 0.0
    cuts: int = 0
    before: int = 0
    why: str = "grows"
    usual: Mapping[str, tuple[float, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AdaptiveLimit:
    """One learned limit: ``limit`` until ``grows_at``, then it grows by ``slope`` per second.

    It stays under ``ceiling`` until ``probe_at``; then the ceiling rises by ``probe_slope`` per
    second. ``named``: the provider named this ceiling; else it is the configured limit.
    ``probe_after``: seconds without probing that this ceiling gets. ``climb``: if it finds itself.
    """

    limit: float
    grows_at: float
    slope: float
    ceiling: float
    probe_at: float
    probe_slope: float
    probe_after: float
    named: bool
    cut_at: float
    climb: Climb | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """What is known about a 429.

    ``used``: how much of the limit the account used then; ``admitted``: when the call was admitted,
    None if no longer known; ``named``: the limit in the message; ``window``: seconds.
    """

    configured: int
    used: int
    named: int | None
    admitted: float | None
    now: float
    window: float


def effective(learned: AdaptiveLimit | None, configured: int, now: float) -> int:
    """The limit that applies at ``now``, from 1 to the configured limit."""
    if learned is None:
        return configured
    grown = min(learned.ceiling, learned.limit + learned.slope * max(0.0, now - learned.grows_at))
    probed = learned.probe_slope * max(0.0, now - learned.probe_at)
    return max(1, min(configured, math.floor(grown + probed)))


def cut(learned: AdaptiveLimit | None, refusal: Refusal) -> AdaptiveLimit | None:
    """The learned limit after a 429, or None if an earlier cut already answers it.

    A burst of refusals has one cause: calls admitted before the last cut say nothing about the
    limit after it.
    """
    if learned and _already_answered(learned, refusal):
        return None
    limit = _cut_limit(effective(learned, refusal.configured, refusal.now), refusal)
    ceiling, named = _ceiling(learned, refusal)
    after = _probe_after(learned, ceiling, named, refusal.window)
    return AdaptiveLimit(
        limit=limit,
        grows_at=refusal.now + cool_down(refusal.window),
        slope=(ceiling - limit) / (RECOVERY_WINDOWS * refusal.window),
        ceiling=ceiling,
        probe_at=refusal.now + after,
        probe_slope=max(1.0, PROBE_SHARE * ceiling) / refusal.window,
        probe_after=after,
        named=named,
        cut_at=refusal.now,
    )


def blamed(kind: LimitKind, named: int | None) -> tuple[LimitKind, int | None]:
    """The kind of limit to cut for a 429, and the limit that it named, if any.

    If a 429 names no kind, fewer calls in flight are allowed: that reduces the use of every kind.
    """
    if kind is LimitKind.UNKNOWN:
        return LimitKind.CONCURRENCY, None
    return kind, named


def cool_down(window: float, retry_after: float | None = None) -> float:
    """Seconds for which the account admits nothing after a cut.

    The provider's Retry-After if it sent one (at most a minute), else 1 s per 60 s window.
    """
    return min(1.0, window / 60) if retry_after is None else asked_for(retry_after)


def asked_for(retry_after: float | None) -> float:
    """Seconds to wait for the Retry-After of a 429. At most a minute, because some gateways send a
    point in time, or a day."""
    return min(max(retry_after or 0.0, 0.0), COOL_DOWN_SECONDS_MAX)


def _already_answered(learned: AdaptiveLimit, refusal: Refusal) -> bool:
    if refusal.admitted is None:
        return refusal.now - learned.cut_at < SAME_CAUSE_SECONDS
    return refusal.admitted < learned.cut_at


def _cut_limit(allowed: int, refusal: Refusal) -> float:
    if refusal.named is not None and refusal.named < allowed:
        return float(max(1, refusal.named))
    fair_use = max(refusal.used, LONE_CALLS, allowed * LONE_SHARE)
    return max(1.0, CUT * min(allowed, fair_use))


def _ceiling(learned: AdaptiveLimit | None, refusal: Refusal) -> tuple[float, bool]:
    if refusal.named is not None:
        lower = refusal.named < refusal.configured
        return float(max(1, refusal.named if lower else refusal.configured)), lower
    if learned and learned.named:
        return learned.ceiling, True
    return float(refusal.configured), False


def _probe_after(
    learned: AdaptiveLimit | None, ceiling: float, named: bool, window: float
) -> float:
    holds = learned is not None and learned.named and named and ceiling == learned.ceiling
    if learned is None or not holds:
        return PROBE_WINDOWS * window
    return min(learned.probe_after * 2, PROBE_WINDOWS_MAX * window)
