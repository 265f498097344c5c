"""The limit of calls in flight that finds itself, where no published tier applies (``auto``).

The limit is tried out: a trial raises or lowers it and compares a cohort of calls before with one
after. A trial is kept if it raises ``(1 - PAYS) ln n - ln d``, where n is the number of calls in
flight and d how long calls take: throughput is n / d, so a call more in flight must pay by PAYS of
its share. That is Kleinrock's power of a queue, maximised by experiments as in PCC (Dong et al.,
NSDI 2015), after a start that doubles like BBR's while throughput grows. Unlike Vegas or Gradient2
(Netflix) and Envoy's adaptive concurrency it compares with no least latency: a GPU that answers
more calls at once answers each of them later, and still does more.

Calls differ in size, so durations are compared within kinds of like size (``kind_of``). ``pace`` is
how long a cohort took, by what its kinds usually take. Times are seconds on the clock of the
limiter's server.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from core.account.adaptive_limit import CUT, AdaptiveLimit, Climb
from core.catalog.tiers import AUTO_START

PAYS = 0.2
"""A growth must raise throughput by this share of it, in logarithms: doubled calls by 15 %."""
DOUBLE, UP, NUDGE = 2.0, 1.25, 1.04
"""Factors of trials: at the start, later, and above a limit that a refusal has shown."""
ROOM = 1.05
"""A limit that is found is set so much above what is used: what is refilled late is not missed."""
SLOWER, FASTER = 1.3, 0.8
"""A change of pace at an unchanged limit that is followed by a trial at once."""
DOWN_EVERY = 4
"""While calls take SLOWER times as long as without a queue, one trial of so many is downwards."""
WORSE = 0.1
"""A level that is worse than the best one by so much is left for it."""
FULL = 0.8
"""A call tells something if so much of the limit was used when it was admitted."""
COHORT_MIN, LATER_MIN, COHORT_MAX = 4, 12, 64
"""Calls of a cohort: half of the limit, within these; after the start more than a few, because
smaller steps are harder to tell, and so many that the error of their mean is ERROR at most."""
ERROR, START_ERROR = 0.12, 0.2
START_FAILS = 2
"""Doublings in a row that do not pay until the start is over."""
FAILED_MIN, FAILED_SHARE = 3, 0.1
"""So many failures (5xx, timeouts), and this share of the calls since the limit has moved, count as
too many calls at once."""
FORGETS = 1.01
"""What the best level gave is forgotten by this factor a cohort."""
PROBE_SECONDS, PROBE_CALLS = (4.0, 8.0), (2.0, 4.0)
"""The first and the longest pause before probing above a refusal: seconds, or mean calls if that is
longer. It doubles each time."""
COOL_DOWN_SECONDS = 0.5
KINDS_MAX = 40
"""Kinds of calls whose usual duration is kept."""


@dataclass(frozen=True, slots=True)
class Cohort:
    """Calls that were admitted one after the other under one limit, and have ended.

    ``kinds``: of the answered calls, by kind: their number, the sum of their seconds, and that of
    their squares. ``in_flight``: mean number of calls in flight when they were admitted.
    ``failing``: None, or the calls in flight now, if too many fail by FAILED_MIN and FAILED_SHARE.
    """

    kinds: Mapping[str, tuple[int, float, float]]
    in_flight: float
    failing: int | None
    now: float

    @property
    def calls(self) -> int:
        return sum(calls for calls, *_ in self.kinds.values())

    @property
    def mean_seconds(self) -> float:
        return sum(seconds for _, seconds, _ in self.kinds.values()) / max(self.calls, 1)

    @property
    def spread(self) -> float | None:
        """Standard deviation of calls of one kind, by their mean; None if no kind has several."""
        several = [kind for kind in self.kinds.values() if kind[0] > 1 and kind[1] > 0]
        means = sum(seconds**2 / calls for calls, seconds, _ in several)
        rest = sum(squares - seconds**2 / calls for calls, seconds, squares in several)
        freedom = sum(calls - 1 for calls, *_ in several)
        calls = sum(calls for calls, *_ in several)
        return math.sqrt(max(rest, 0.0) / freedom * calls / means) if several else None


@dataclass(frozen=True, slots=True)
class Crowded:
    """A refusal for too many calls at once, or one that named no limit: ``used`` calls were in
    flight, and this one was admitted at ``admitted`` (None: unknown)."""

    used: int
    named: int | None
    admitted: float | None
    now: float


def kind_of(prompt_tokens: int, completion_tokens: int) -> str:
    """Calls of one kind take about as long: their prompts and replies differ by less than twice."""
    return f"{prompt_tokens.bit_length()}.{completion_tokens.bit_length()}"


def judged(limit: AdaptiveLimit | None, most: int, cohort: Cohort) -> AdaptiveLimit:
    """The limit after a cohort has ended. ``most``: calls in flight at most."""
    moved = _judged(climb_of(limit, most), most, cohort)
    return replace(moved, cut_at=limit.cut_at) if limit else moved


def _judged(climb: Climb, most: int, cohort: Cohort) -> AdaptiveLimit:
    if cohort.failing is not None:
        return _failing(climb, cohort.failing, cohort.now)
    pace = _pace(climb, cohort)
    if pace is None:  # nothing to compare with: these kinds are new
        learned = _learned(climb, cohort, climb.pace or 1.0)
        above = climb.level if climb.usual else _above(climb, most, cohort.now)
        return _next(learned, most, cohort, above)
    best = climb.best_pace * FORGETS
    climb = replace(_learned(climb, cohort, pace), cuts=0, best_pace=best)
    if climb.trial > climb.level:
        return _after_growth(climb, most, cohort, pace)
    if climb.trial < climb.level:
        return _after_shrinking(climb, most, cohort, pace)
    return _after_rest(climb, most, cohort, pace)


def climb_of(limit: AdaptiveLimit | None, most: int) -> Climb:
    """Where the search is; its start if there is none."""
    if limit is not None and limit.climb is not None:
        climb = limit.climb
        if climb.level <= most:
            return climb
        return replace(climb, level=most, trial=most, pace=0.0, best=0)  # a setting was lowered
    start = min(AUTO_START, most)
    return Climb(level=start, trial=start, step=DOUBLE, need=COHORT_MIN)


def crowded(limit: AdaptiveLimit | None, most: int, refusal: Crowded) -> AdaptiveLimit:
    """The limit after a 429 for calls in flight, or one that named no limit.

    At the first refusal the calls that were in flight without it were not too many. Each further
    one of the same burst takes one more away. If refusals go on, the limit is cut by CUT.
    """
    climb = climb_of(limit, most)
    cut_at = limit.cut_at if limit else 0.0
    if refusal.admitted is None or refusal.admitted < cut_at:
        level = min(climb.level, max(climb.level - 1, climb.before // 2, 1))
        return _cut(climb, refusal, level, cut_at)
    exact = climb.cuts == 0 or climb.trial > climb.level
    held = min(climb.trial, refusal.used - 1)
    if climb.trial > climb.level:
        held = max(held, climb.level)
    level = max(1, held if exact else math.floor(CUT * min(held, climb.level)))
    if refusal.named is not None:
        level = max(1, min(level, refusal.named))
    first, longest = _pauses(climb.seconds)
    probed = climb.ceiling and climb.trial > climb.ceiling
    after = min(longest, climb.probe_after * 2) if probed else first
    climb = replace(
        climb,
        before=max(climb.before, refusal.used) if climb.cuts else refusal.used,
        cuts=climb.cuts + 1,
        step=NUDGE if exact else UP,
        probe_after=after,
        probe_at=refusal.now + after,
    )
    return _cut(climb, refusal, level, refusal.now)


def pause_after(limit: AdaptiveLimit) -> float:
    """Seconds for which the account admits nothing after a 429: none after the first, which has
    shown the limit; COOL_DOWN_SECONDS if refusals go on."""
    return COOL_DOWN_SECONDS if limit.climb and limit.climb.cuts > 1 else 0.0


# ---- what a cohort tells


def _pace(climb: Climb, cohort: Cohort) -> float | None:
    """How long the cohort took, by what its kinds usually take; None if most kinds are new."""
    known = {kind: value for kind, value in cohort.kinds.items() if kind in climb.usual}
    usual = sum(calls * climb.usual[kind][0] for kind, (calls, *_) in known.items())
    took = sum(seconds for _, seconds, _ in known.values())
    if not usual or not took or 2 * sum(calls for calls, *_ in known.values()) < cohort.calls:
        return None
    return took / usual


def _learned(climb: Climb, cohort: Cohort, pace: float) -> Climb:
    """What kinds usually take, with this cohort, whose pace is ``pace``."""
    usual = dict(climb.usual)
    for kind, (calls, seconds, _) in cohort.kinds.items():
        each = seconds / calls / pace
        before, weight = usual.pop(kind, (each, 0))
        share = calls / (calls + min(weight, COHORT_MAX))
        usual[kind] = (before + share * (each - before), weight + calls)
    while len(usual) > KINDS_MAX:
        del usual[next(iter(usual))]  # the one that was not seen for longest
    seconds = cohort.mean_seconds or climb.seconds
    spread = climb.spread if cohort.spread is None else (climb.spread + cohort.spread) / 2
    return replace(climb, usual=usual, seconds=seconds, spread=spread)


def _after_growth(climb: Climb, most: int, cohort: Cohort, pace: float) -> AdaptiveLimit:
    is_good = not climb.best or _value(climb.trial, pace) > _best(climb) - WORSE
    # where the endpoint refuses, it judges: a growth without a refusal is kept if it is not slower
    is_kept = pace < SLOWER * climb.pace if climb.ceiling else _gain(climb, cohort, pace) > 0
    if is_good and is_kept:
        step = min(DOUBLE, max(UP, climb.step**2))
        pace = max(pace, math.sqrt(pace * climb.pace))  # more calls at once are never faster
        ceiling = climb.trial if climb.ceiling else 0
        grown = replace(climb, level=climb.trial, pace=pace, step=step, ceiling=ceiling, fails=0)
        grown = _remembered(replace(grown, why="grows"))
        return _next(grown, most, cohort, _above(grown, most, cohort.now))
    fails = climb.fails + 1
    step = climb.step if fails < START_FAILS and climb.step == DOUBLE else UP
    stopped = replace(climb, step=step, fails=fails, why="throughput")
    if climb.step < DOUBLE:
        return _next(stopped, most, cohort, climb.level)
    used = cohort.in_flight * climb.pace / pace  # what would give this throughput without a queue
    level = math.ceil(min(max(ROOM * used, climb.level), climb.trial))
    return _next(replace(stopped, level=level, pace=0.0), most, cohort, level)


def _after_shrinking(climb: Climb, most: int, cohort: Cohort, pace: float) -> AdaptiveLimit:
    if _value(climb.trial, pace) > _value(climb.level, climb.pace):
        lower = _remembered(replace(climb, level=climb.trial, pace=pace, step=UP, why="shrinks"))
        return _next(lower, most, cohort, lower.level)
    # calls do not wait for each other, so what they took is usual; the pace is measured anew
    usual = {kind: (seconds * climb.pace, n) for kind, (seconds, n) in climb.usual.items()}
    best = climb.best_pace / climb.pace
    again = replace(climb, pace=0.0, usual=usual, best_pace=best, why="throughput")
    return _next(again, most, cohort, climb.level)


def _after_rest(climb: Climb, most: int, cohort: Cohort, pace: float) -> AdaptiveLimit:
    change = pace / climb.pace if climb.pace else 1.0
    if abs(math.log(change)) < 2 * climb.spread * math.sqrt(2 / max(cohort.calls, 1)):
        change = 1.0
    if change > SLOWER:
        slower = replace(climb, pace=pace, best=0)
        return _next(slower, most, cohort, _below(slower))
    if change < FASTER:
        climb = replace(climb, step=min(DOUBLE, 1 / change), probe_at=0.0, best=0)
    elif climb.pace:
        pace = math.sqrt(pace * climb.pace)
    rested = _remembered(replace(climb, pace=pace, turns=climb.turns + 1))
    if rested.best != rested.level and _value(rested.level, pace) < _best(rested) - WORSE:
        return _next(rested, most, cohort, rested.best)
    if pace > SLOWER and rested.turns % DOWN_EVERY == 0:
        return _next(rested, most, cohort, _below(rested))
    return _next(rested, most, cohort, _above(rested, most, cohort.now))


def _below(climb: Climb) -> int:
    """The next trial downwards: what gives as much if calls only wait for each other."""
    return max(1, math.floor(max(climb.level / DOUBLE, ROOM * climb.level / climb.pace)))


def _remembered(climb: Climb) -> Climb:
    """With its level as the best one, if it is."""
    if climb.best == climb.level:
        return replace(climb, best_pace=math.sqrt(climb.best_pace * climb.pace))
    if climb.best and _value(climb.level, climb.pace) <= _best(climb):
        return climb
    return replace(climb, best=climb.level, best_pace=climb.pace)


def _value(in_flight: float, pace: float) -> float:
    return (1 - PAYS) * math.log(in_flight) - math.log(pace)


def _best(climb: Climb) -> float:
    return _value(climb.best, climb.best_pace)


def _failing(climb: Climb, in_flight: int, now: float) -> AdaptiveLimit:
    """Calls fail: back to those that are in flight without them, or fewer."""
    grew = climb.trial > climb.level
    held = math.floor(min(climb.trial, in_flight) / ROOM)
    level = max(climb.level, held) if grew else max(1, math.floor(CUT * climb.level))
    first, longest = _pauses(climb.seconds)
    after = min(longest, climb.probe_after * 2) if grew and climb.ceiling else first
    climb = replace(
        climb,
        level=level,
        ceiling=level,
        step=NUDGE if grew else UP,
        probe_after=after,
        probe_at=now + after,
        pace=climb.pace if grew else 0.0,
        best=climb.best if climb.best <= level else 0,
        cuts=climb.cuts + 1,
        before=climb.before if climb.cuts else climb.level,
        why="failed",
    )
    return _moved(climb, level, level, now)


def _gain(climb: Climb, cohort: Cohort, pace: float) -> float:
    """What a growth has gained, in logarithms."""
    return _value(cohort.in_flight, pace) - _value(climb.level, climb.pace)


def _above(climb: Climb, most: int, now: float) -> int:
    """The next trial upwards; the level itself while a refusal forbids one."""
    if climb.ceiling and now < climb.probe_at:
        return climb.level
    return min(most, max(climb.level + 1, round(climb.level * climb.step)))


def _pauses(seconds: float) -> tuple[float, float]:
    """The first and the longest pause before a probe, where calls take ``seconds``."""
    return (
        max(PROBE_SECONDS[0], PROBE_CALLS[0] * seconds),
        max(PROBE_SECONDS[1], PROBE_CALLS[1] * seconds),
    )


# ---- moving the limit


def _next(climb: Climb, most: int, cohort: Cohort, trial: int) -> AdaptiveLimit:
    return _moved(climb, min(trial, most), climb.trial, cohort.now)


def _moved(climb: Climb, trial: int, before: int, now: float) -> AdaptiveLimit:
    """``trial`` applies from now on. It rises within a quarter of a call, so that a refusal is met
    by few. The next cohort is admitted after that; at the start it is the calls that are added."""
    ramp = climb.seconds / 4 if trial > before else 0.0
    starting = climb.step == DOUBLE
    rests = trial <= climb.level and not starting and not climb.ceiling
    least = LATER_MIN if rests else COHORT_MIN
    error = START_ERROR if starting else ERROR
    need = min(COHORT_MAX, max(least, trial // 2, math.ceil((climb.spread / error) ** 2)))
    full = (climb.level + trial) / 2 if trial > climb.level else FULL * trial
    return AdaptiveLimit(
        limit=float(before if ramp else trial),
        grows_at=now,
        slope=(trial - before) / ramp if ramp else 0.0,
        ceiling=float(trial),
        probe_at=now,
        probe_slope=0.0,
        probe_after=0.0,
        named=False,
        cut_at=0.0,
        climb=replace(
            climb,
            trial=trial,
            since=now + (0.0 if starting else ramp),
            need=need,
            full=math.ceil(full),
        ),
    )


def _cut(climb: Climb, refusal: Crowded, level: int, cut_at: float) -> AdaptiveLimit:
    best = climb.best if climb.best <= level else 0
    lower = replace(climb, level=level, ceiling=level, best=best, why="429")
    return replace(_moved(lower, level, level, refusal.now), cut_at=cut_at)
