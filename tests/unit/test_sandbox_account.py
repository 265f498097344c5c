"""Account usage and the prompt cache: functions of times and values."""

import pytest

from core.catalog.tiers import AccountLimits
from overstory.sandbox.account.prompt_cache import PrefixCache, Segment, text_segment, text_tokens
from overstory.sandbox.account.usage import AccountUsage, RollingSum
from overstory.sandbox.errors import Refusal

WIDE = AccountLimits(1_000, 1_000, 1_000_000)
WINDOW = 60.0


@pytest.mark.parametrize(
    ("adds", "now", "expected"),
    [
        ([], 0.0, 0),
        ([(0.0, 3), (30.0, 4)], 59.9, 7),
        ([(0.0, 3), (30.0, 4)], 60.0, 4),
        ([(0.0, 3), (30.0, 4)], 90.0, 0),
    ],
)
def test_a_window_holds_exactly_its_last_seconds(adds, now, expected):
    rolling = RollingSum()
    for at, amount in adds:
        rolling.add(at, WINDOW, amount)
    assert rolling.at(now, WINDOW) == expected


def test_the_peak_is_the_highest_of_any_window():
    rolling = RollingSum()
    for at in (0.0, 59.0, 59.5, 61.0):
        rolling.add(at, WINDOW, 1)
    assert rolling.peak == 3


def refused(usage, times, limits, rejected_count=True):
    """The message of each call that enters at ``times``; empty for an admitted call."""
    messages = []
    for now in times:
        try:
            usage.enter(now, WINDOW, limits, rejected_count)
            messages.append("")
        except Refusal as refusal:
            messages.append(refusal.message)
    return messages


def test_the_sixth_call_in_flight_is_refused_in_the_known_words():
    messages = refused(AccountUsage(), [0.0] * 6, AccountLimits(5, 100, 100))
    assert messages == [""] * 5 + ["concurrency reached, current: 6, limit: 5"]


def test_a_call_that_left_makes_room():
    usage = AccountUsage()
    refused(usage, [0.0] * 5, AccountLimits(5, 100, 100))
    usage.leave()
    assert refused(usage, [0.1], AccountLimits(5, 100, 100)) == [""]


@pytest.mark.parametrize(("rejected_count", "at_60"), [(True, 11), (False, 0)])
def test_rejected_calls_use_up_the_minute_when_they_count(rejected_count, at_60):
    usage, limits = AccountUsage(), AccountLimits(1_000, 10, 100)
    messages = refused(usage, [0.0] * 10 + [30.0] * 10, limits, rejected_count)
    assert messages[10] == "request limited RPM reached, current: 11, limit: 10"
    (late,) = refused(usage, [60.0], limits, rejected_count)
    assert late == (f"request limited RPM reached, current: {at_60}, limit: 10" if at_60 else "")


def test_tokens_past_the_limit_are_refused_and_not_counted():
    usage, limits = AccountUsage(), AccountLimits(5, 100, 500_000)
    usage.charge(0.0, WINDOW, 400_000, limits)
    with pytest.raises(Refusal, match="TPM reached, current: 559755, limit: 500000"):
        usage.charge(1.0, WINDOW, 159_755, limits)
    usage.charge(1.0, WINDOW, 100_000, limits)
    assert usage.stats()["refused_429"] == {"tpm": 1}


def test_completion_tokens_count_when_they_are_spent():
    usage = AccountUsage()
    usage.charge(0.0, WINDOW, 90, AccountLimits(5, 100, 100))
    usage.settle(1.0, WINDOW, 20)
    assert usage.stats()["max_tokens_window"] == 110


def test_without_limits_everything_is_admitted_and_still_counted():
    usage = AccountUsage()
    assert refused(usage, [0.0] * 50, None) == [""] * 50
    stats = usage.stats()
    assert (stats["max_in_flight"], stats["max_requests_window"]) == (50, 50)


@pytest.mark.parametrize(("size", "tokens"), [(0, 0), (1, 1), (4, 1), (5, 2), (1024, 256)])
def test_four_bytes_are_a_token(size, tokens):
    assert text_tokens(size) == tokens


HEAD = text_segment("s" * 2048)  # 512 tokens
IMAGE = Segment(b"sha", 300, is_text=False)


@pytest.mark.parametrize(
    ("first", "second", "cached"),
    [
        ([text_segment("x" * 1020)], [text_segment("x" * 1020)], 0),
        ([HEAD], [HEAD], 512),
        ([HEAD, text_segment("a" * 900)], [HEAD, text_segment("b" * 900)], 512),
        ([text_segment("a"), HEAD], [text_segment("b" * 8), HEAD], 0),
        ([IMAGE], [IMAGE], 256),
        ([IMAGE], [Segment(b"other", 300, is_text=False)], 0),
        ([HEAD, IMAGE], [HEAD, IMAGE], 768),
    ],
)
def test_whole_blocks_of_the_same_beginning_are_cached(first, second, cached):
    cache = PrefixCache()
    assert cache.read("m", first, 100) == 0
    assert cache.read("m", second, 100) == cached


def test_models_share_no_cache():
    cache = PrefixCache()
    cache.read("m", [HEAD], 100)
    assert cache.read("n", [HEAD], 100) == 0


@pytest.mark.parametrize(("capacity", "cached"), [(0, 0), (2, 0), (4, 512)])
def test_the_oldest_blocks_are_dropped_first(capacity, cached):
    cache = PrefixCache()
    cache.read("m", [HEAD], capacity)
    cache.read("m", [text_segment("t" * 2048)], capacity)
    assert cache.read("m", [HEAD], capacity) == cached
