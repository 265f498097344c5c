"""The account's gauge: what a 429 says, how far a limit is cut, and how it grows back.

A learned limit is a line in time, so that growing needs no writes: the limiter's Lua evaluates the
line (``effective`` here, ``allowed`` there), and only a cut draws a new one. Times are seconds on
the account's clock (the limiter server's), limits are calls in flight, requests or tokens a window.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from core.errors import LimitKind

CUT = 0.7
"""What is left of the use at which a call was refused without a lower limit being named."""
LONE_CALLS, LONE_SHARE = 8, 0.1
"""Use counts as at least this much: the stray refusal of a lone call must not cost everything."""
SAME_CAUSE_SECONDS = 1.0
"""A 429 whose call we no longer know belongs to the last cut if that is this recent."""
RECOVERY_WINDOWS = 3.0
"""An unnamed cut has grown back after this many windows."""
PROBE_WINDOWS, PROBE_WINDOWS_MAX = 5.0, 60.0
"""A ceiling the provider named is left alone this many windows; doubled each time it holds."""
PROBE_SHARE = 0.1
"""Above its ceiling a limit grows by this share of it a window: one call too many, not many."""
COOL_DOWN_SECONDS_MAX = 60.0

REFUSED_MIN, REFUSED_SHARE = 8, 0.75
"""Everything is refused: so many refusals since a success, this share of what was admitted."""
PROBE_SECONDS, PROBE_GROWTH, PROBE_SECONDS_MAX = 1.0, 1.5, 15.0
"""While everything is refused: seconds between two probes, how they grow, and the longest."""
PROBE_IDLE_SECONDS = 600.0
"""A probe that comes so long after it might have begins the outage anew: jobs were paused or the
service was off, and nobody knows what the provider did meanwhile. Above any pause between two tries
of a lone call."""


@dataclass(frozen=True, slots=True)
class AdaptiveLimit:
    """One learned limit: ``limit`` until ``grows_at``, then growing by ``slope`` a second.

    It stays under ``ceiling`` until ``probe_at``; from then on the ceiling itself rises by
    ``probe_slope`` a second. ``named`` tells a ceiling the provider named from one we merely have;
    ``probe_after`` is the pause (seconds) this ceiling has earned.
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


@dataclass(frozen=True, slots=True)
class Refusal:
    """What is known when a 429 comes back.

    ``used``: what the account used of the limit then; ``admitted``: when its call was admitted, or
    None if no longer known; ``named``: the limit the message named; ``window``: seconds.
    """

    configured: int
    used: int
    named: int | None
    admitted: float | None
    now: float
    window: float


def effective(gauge: AdaptiveLimit | None, configured: int, now: float) -> int:
    """The limit to keep at ``now``: never over the configured one, never under 1."""
    if gauge is None:
        return configured
    grown = min(gauge.ceiling, gauge.limit + gauge.slope * max(0.0, now - gauge.grows_at))
    felt_for = gauge.probe_slope * max(0.0, now - gauge.probe_at)
    return max(1, min(configured, math.floor(grown + felt_for)))


def cut(gauge: AdaptiveLimit | None, refusal: Refusal) -> AdaptiveLimit | None:
    """The gauge after a 429, or None when an earlier cut has already answered its cause.

    A burst of refusals is one cause: calls admitted before the last cut say nothing about the
    limit after it.
    """
    if gauge and _already_answered(gauge, refusal):
        return None
    limit = _cut_limit(effective(gauge, refusal.configured, refusal.now), refusal)
    ceiling, named = _ceiling(gauge, refusal)
    after = _probe_after(gauge, ceiling, named, refusal.window)
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
    """The limit to cut for a 429, and the lower limit it named, if any.

    A 429 that names no kind is answered by fewer calls in flight: that slows every kind.
    """
    if kind is LimitKind.UNKNOWN:
        return LimitKind.CONCURRENCY, None
    return kind, named


def cool_down(window: float, retry_after: float | None = None) -> float:
    """Seconds in which the whole account admits nothing after a cut.

    The provider's own word if it gave one (at most a minute), else a second of a 60 s window.
    """
    return min(1.0, window / 60) if retry_after is None else asked_for(retry_after)


def asked_for(retry_after: float | None) -> float:
    """Seconds to wait because a 429 said so: at most a minute, for what some gateways send is a
    point in time, or a day."""
    return min(max(retry_after or 0.0, 0.0), COOL_DOWN_SECONDS_MAX)


def _already_answered(gauge: AdaptiveLimit, refusal: Refusal) -> bool:
    if refusal.admitted is None:
        return refusal.now - gauge.cut_at < SAME_CAUSE_SECONDS
    return refusal.admitted < gauge.cut_at


def _cut_limit(allowed: int, refusal: Refusal) -> float:
    if refusal.named is not None and refusal.named < allowed:
        return float(max(1, refusal.named))
    fair_use = max(refusal.used, LONE_CALLS, allowed * LONE_SHARE)
    return max(1.0, CUT * min(allowed, fair_use))


def _ceiling(gauge: AdaptiveLimit | None, refusal: Refusal) -> tuple[float, bool]:
    if refusal.named is not None:
        lower = refusal.named < refusal.configured
        return float(max(1, refusal.named if lower else refusal.configured)), lower
    if gauge and gauge.named:
        return gauge.ceiling, True
    return float(refusal.configured), False


def _probe_after(gauge: AdaptiveLimit | None, ceiling: float, named: bool, window: float) -> float:
    holds = gauge is not None and gauge.named and named and ceiling == gauge.ceiling
    if gauge is None or not holds:
        return PROBE_WINDOWS * window
    return min(gauge.probe_after * 2, PROBE_WINDOWS_MAX * window)
