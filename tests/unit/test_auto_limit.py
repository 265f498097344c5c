"""The search for the limit of calls in flight as values."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.account.adaptive_limit import AdaptiveLimit, Climb, effective
from core.account.auto_limit import Cohort, Crowded, climb_of, crowded, judged, kind_of, pause_after
from core.catalog.tiers import AUTO_MOST, AUTO_START

MOST, NOW = AUTO_MOST, 1_000.0
SETTLED = Climb(
    level=32, trial=32, step=1.25, need=16, seconds=2.0, best=32, usual={"a": (2.0, 99)}
)


def at(climb: Climb) -> AdaptiveLimit:
    limit = float(climb.trial)
    return AdaptiveLimit(limit, 0.0, 0.0, limit, 0.0, 0.0, 0.0, False, 0.0, climb)


def cohort(in_flight: float, seconds: float, calls: int = 30, kind: str = "a", **more) -> Cohort:
    squares = calls * seconds**2 * 1.01
    return Cohort({kind: (calls, calls * seconds, squares)}, in_flight, more.get("failing"), NOW)


def climb_after(climb: Climb, *cohorts: Cohort) -> Climb:
    limit: AdaptiveLimit | None = at(climb)
    for ended in cohorts:
        limit = judged(limit, MOST, ended)
    assert limit
    assert limit.climb
    return limit.climb


def test_it_starts_small_and_doubles_while_throughput_grows() -> None:
    limit, trials = None, []
    for in_flight in (4, 8, 16, 32, 64, 128, 200):
        limit = judged(limit, MOST, cohort(in_flight, 2.0))
        trials.append(climb_of(limit, MOST).trial)
    assert climb_of(None, MOST).trial == AUTO_START
    assert trials == [8, 16, 32, 64, 128, 200, 200]


def test_it_never_starts_above_the_most_that_a_setting_allows() -> None:
    assert climb_of(None, 2).trial == 2
    assert climb_of(judged(None, 3, cohort(3, 2.0)), 3).trial == 3


def test_a_setting_that_was_lowered_applies_at_once() -> None:
    limit = at(replace(SETTLED, trial=40))
    assert effective(limit, 10, NOW) == 10
    assert climb_of(judged(limit, 10, cohort(10, 2.0)), 10).level == 10


def test_a_start_that_overshoots_returns_to_what_the_throughput_needs() -> None:
    """Twice the calls that take twice as long: the knee is where it was."""
    climb = climb_after(replace(SETTLED, step=2.0, trial=64), cohort(64, 4.0))
    assert (climb.trial, climb.why) == (34, "throughput")


@pytest.mark.parametrize(
    ("seconds", "level"),
    [(2.0, 40), (2.3, 40), (2.5, 32), (3.0, 32)],  # throughput grows by 25, 9, 0 and -17 %
)
def test_a_growth_is_kept_if_it_pays(seconds: float, level: int) -> None:
    assert climb_after(replace(SETTLED, trial=40), cohort(40, seconds)).level == level


@pytest.mark.parametrize(("seconds", "level"), [(1.0, 16), (1.1, 16), (1.3, 32), (2.0, 32)])
def test_fewer_calls_are_kept_if_they_do_as_much(seconds: float, level: int) -> None:
    assert climb_after(replace(SETTLED, trial=16), cohort(16, seconds)).level == level


def test_calls_that_become_slower_lead_to_a_trial_with_fewer() -> None:
    assert climb_after(SETTLED, cohort(32, 4.0)).trial == 16
    assert climb_after(SETTLED, cohort(32, 2.2)).trial == 40  # an ordinary rest: try more


def test_calls_that_become_slower_everywhere_leave_the_limit_where_it_was() -> None:
    """Twice as long with 32 and with 16 at once: that is no queue."""
    climb = climb_after(SETTLED, cohort(32, 4.0), cohort(16, 4.0))
    assert (climb.level, climb.trial) == (32, 32)


def test_calls_of_other_sizes_are_compared_with_their_own_kind() -> None:
    """Calls of 60 images that take ten times as long as those of 2 are not a queue."""
    usual = {"small": (0.5, 99), "large": (5.0, 99)}
    climb = replace(SETTLED, usual=usual)
    small, large = (
        cohort(32, seconds, kind=kind) for kind, seconds in (("small", 0.5), ("large", 5.0))
    )
    assert climb_after(climb, small, replace(large, in_flight=40)).level == 40


def test_a_new_kind_of_call_is_learned_and_moves_nothing() -> None:
    climb = climb_after(SETTLED, cohort(32, 20.0, kind="new"))
    assert (climb.level, climb.trial) == (32, 32)
    assert climb.usual["new"][0] == pytest.approx(20.0)


def test_kinds_differ_by_twice_the_tokens() -> None:
    assert kind_of(1_100, 70) == kind_of(2_000, 100)
    assert len({kind_of(1_000, 70), kind_of(2_500, 70), kind_of(1_000, 140)}) == 3


def burst(limit: AdaptiveLimit, in_flight: int, refused: int) -> AdaptiveLimit:
    """Refusals of calls that were admitted before the first of them."""
    for n in range(refused):
        limit = crowded(limit, MOST, Crowded(in_flight - n, None, NOW - 1, NOW + 0.01 * n))
    return limit


@pytest.mark.parametrize("refused", [1, 5, 32])
def test_a_burst_of_refusals_leaves_exactly_what_was_not_refused(refused: int) -> None:
    limit = burst(at(replace(SETTLED, trial=64)), 64, refused)
    assert climb_of(limit, MOST).level == 64 - refused
    assert effective(limit, MOST, NOW + 1) == 64 - refused
    assert pause_after(limit) == 0.0


def test_refusals_that_go_on_cut_by_a_share_and_pause() -> None:
    limit = crowded(at(SETTLED), MOST, Crowded(32, None, NOW - 1, NOW))
    again = crowded(limit, MOST, Crowded(31, None, NOW + 1, NOW + 2))
    assert (climb_of(limit, MOST).level, climb_of(again, MOST).level) == (31, 21)
    assert pause_after(again) > 0.0


def test_a_number_in_a_refusal_is_taken_at_once() -> None:
    limit = crowded(at(replace(SETTLED, trial=64)), MOST, Crowded(60, 12, NOW - 1, NOW))
    assert climb_of(limit, MOST).level == 12


def test_above_a_refusal_more_are_tried_a_pause_later_and_the_pause_doubles() -> None:
    limit, pauses = at(SETTLED), []
    for _ in range(4):
        climb = climb_of(limit, MOST)
        probing = at(replace(climb, trial=climb.level + 1))
        limit = crowded(probing, MOST, Crowded(climb.level + 1, None, NOW - 1, NOW))
        found = climb_of(limit, MOST)
        pauses.append(found.probe_at - NOW)
        soon = judged(limit, MOST, replace(cohort(found.level, 2.0), now=found.probe_at - 0.1))
        assert climb_of(soon, MOST).trial == found.level
        later = judged(limit, MOST, replace(cohort(found.level, 2.0), now=found.probe_at + 0.1))
        assert climb_of(later, MOST).trial > found.level
    assert pauses == [4.0, 8.0, 8.0, 8.0]


def test_failing_calls_end_a_growth_and_shrink_a_limit_at_rest() -> None:
    growth = climb_after(replace(SETTLED, trial=64), cohort(40, 2.0, failing=42))
    rest = climb_after(SETTLED, cohort(32, 2.0, failing=30))
    assert (growth.level, rest.level) == (40, 22)


cohorts = st.builds(
    cohort,
    st.floats(1, 300),
    st.floats(0.01, 600),
    st.integers(1, 64),
    st.sampled_from(["a", "b"]),
    failing=st.none() | st.integers(0, 300),
)
refusals = st.builds(
    Crowded,
    st.integers(0, 300),
    st.none() | st.integers(0, 300),
    st.none() | st.floats(0, 2_000),
    st.floats(0, 2_000),
)


@given(st.lists(cohorts | refusals, max_size=30), st.integers(1, 300))
def test_whatever_happens_it_stays_between_one_and_the_most(
    events: list[Cohort | Crowded], most: int
) -> None:
    limit: AdaptiveLimit | None = None
    for event in events:
        move = judged if isinstance(event, Cohort) else crowded
        limit = move(limit, most, event)  # type: ignore[operator]
        climb = climb_of(limit, most)
        assert 1 <= climb.level <= most
        assert 1 <= climb.trial <= most
        assert 1 <= effective(limit, most, event.now) <= most
        assert climb.full <= climb.trial
