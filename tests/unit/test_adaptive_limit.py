"""The adaptive limit's decisions as tables of values."""

from __future__ import annotations

import dataclasses

import pytest

from clients.provider.errors import parse_429
from core.account.adaptive_limit import AdaptiveLimit, Refusal, blamed, cool_down, cut, effective
from core.errors import LimitKind

CONCURRENCY, RPM, TPM, UNKNOWN = LimitKind


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("concurrency reached, current: 6, limit: 5", (CONCURRENCY, 6, 5)),
        ("request limited RPM reached, current: 11, limit: 10", (RPM, 11, 10)),
        ("request limited TPM reached, current: 559755, limit: 500000", (TPM, 559755, 500000)),
        (
            "Rate limit reached for gpt-5 on tokens per min (TPM): Limit 30,000, Used 29,500.",
            (TPM, 29_500, 30_000),
        ),
        ("Rate limit reached on requests per min. Limit: 3 / min.", (RPM, None, 3)),
        ("Rate limit reached on requests per day (RPD): Limit 200, Used 200", (UNKNOWN, 200, 200)),
        ("Too many concurrent requests", (CONCURRENCY, None, None)),
        ("too many requests in flight, maximum is 8", (CONCURRENCY, None, 8)),
        ("Too Many Requests", (UNKNOWN, None, None)),
        ("slow down", (UNKNOWN, None, None)),
        ("", (UNKNOWN, None, None)),
    ],
)
def test_a_429_names_its_kind_and_limit(
    message: str, said: tuple[LimitKind, int | None, int | None]
) -> None:
    assert parse_429(message) == said


def refusal(
    named: int | None = None, used: int = 100, admitted: float | None = 999, now: float = 1_000
) -> Refusal:
    return Refusal(100, used, named, admitted, now, window=60)


def after(*refusals: Refusal) -> AdaptiveLimit:
    gauge: AdaptiveLimit | None = None
    for each in refusals:
        gauge = cut(gauge, each) or gauge
    assert gauge
    return gauge


@pytest.mark.parametrize(
    ("said", "limit", "ceiling"),
    [
        (refusal(named=50), 50, 50),  # the lower limit itself
        (refusal(named=0), 1, 1),
        (refusal(named=100), 70, 100),  # our own limit: others spend too, or a burst
        (refusal(named=200), 70, 100),
        (refusal(named=None), 70, 100),
        (refusal(used=60), 42, 100),  # cut from the used amount, not from the allowed one
        (refusal(used=0), 7, 100),  # but not to zero for one call
    ],
)
def test_a_refusal_cuts_to_the_named_limit_or_to_a_share_of_the_use(
    said: Refusal, limit: int, ceiling: int
) -> None:
    gauge = after(said)
    assert effective(gauge, 100, 1_000) == limit
    assert gauge.ceiling == ceiling


@pytest.mark.parametrize(
    ("admitted", "now", "cut_again"),
    [
        (999.9, 1_003, False),  # sent before the cut: same cause
        (1_000.1, 1_003, True),
        (None, 1_000.5, False),  # send time unknown: decided by time alone
        (None, 1_001.5, True),
    ],
)
def test_one_cause_is_one_cut(admitted: float | None, now: float, cut_again: bool) -> None:
    second = refusal(admitted=admitted, now=now, used=70)
    assert (cut(after(refusal()), second) is not None) == cut_again


def test_repeated_refusals_end_at_one() -> None:
    gauge = after(*(refusal(admitted=1_000 + n, now=1_000 + n, used=1) for n in range(50)))
    assert effective(gauge, 100, 1_049) == 1


@pytest.mark.parametrize(
    ("seconds", "limit"), [(0, 70), (1, 70), (61, 80), (121, 90), (181, 100), (9_999, 100)]
)
def test_an_unnamed_cut_is_restored_after_three_windows(seconds: float, limit: int) -> None:
    assert effective(after(refusal()), 100, 1_000 + seconds) == limit


@pytest.mark.parametrize(
    ("seconds", "limit"), [(0, 50), (300, 50), (311, 50), (312, 51), (360, 55), (900, 100)]
)
def test_a_named_limit_is_kept_five_windows_then_probed(seconds: float, limit: int) -> None:
    assert effective(after(refusal(named=50)), 100, 1_000 + seconds) == limit


def test_a_named_limit_that_holds_is_probed_more_and_more_rarely() -> None:
    gauge, pauses = after(refusal(named=50)), []
    for _ in range(6):
        pauses.append(gauge.probe_after / 60)
        now = gauge.probe_at + 12
        gauge = after_one_more(gauge, refusal(named=50, used=51, admitted=now - 1, now=now))
    assert pauses == [5, 10, 20, 40, 60, 60]


def after_one_more(gauge: AdaptiveLimit, said: Refusal) -> AdaptiveLimit:
    again = cut(gauge, said)
    assert again
    return again


def test_a_changed_named_limit_resets_the_probing() -> None:
    gauge = after_one_more(after(refusal(named=50)), refusal(named=30, admitted=1_400, now=1_401))
    assert (gauge.ceiling, gauge.probe_after) == (30, 300)


def test_an_unnamed_refusal_keeps_the_named_ceiling() -> None:
    gauge = after_one_more(after(refusal(named=50)), refusal(used=50, admitted=1_002, now=1_003))
    assert (effective(gauge, 100, 1_003), gauge.ceiling) == (35, 50)
    assert effective(gauge, 100, 1_003 + 181) == 50


def test_a_limit_halved_without_notice_costs_under_one_call_in_a_hundred() -> None:
    """100 calls per minute configured, 50 really allowed, for ten hours: a 429 at each probe."""
    gauge, sent, refused = after(refusal(named=50)), 0.0, 1
    for second in range(1_001, 37_000):
        sent += 50 / 60
        if effective(gauge, 100, second) > 50:
            refused += 1
            gauge = after_one_more(gauge, refusal(named=50, admitted=second, now=second))
    assert refused / sent < 0.01


def test_the_effective_limit_is_at_most_the_configured_one() -> None:
    assert effective(None, 100, 0) == 100
    assert effective(after(refusal(named=50)), 10, 1_000) == 10


@pytest.mark.parametrize(
    ("window", "retry_after", "seconds"),
    [(60, None, 1), (6, None, 0.1), (600, None, 1), (60, 7, 7), (60, 9_999, 60), (60, -1, 0)],
)
def test_the_cool_down_is_the_providers_or_a_sixtieth_of_a_window(
    window: float, retry_after: float | None, seconds: float
) -> None:
    assert cool_down(window, retry_after) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("kind", "named", "blame"),
    [(UNKNOWN, 200, (CONCURRENCY, None)), (RPM, 10, (RPM, 10)), (TPM, None, (TPM, None))],
)
def test_an_unknown_kind_of_429_reduces_the_concurrency(
    kind: LimitKind, named: int | None, blame: tuple[LimitKind, int | None]
) -> None:
    assert blamed(kind, named) == blame


def test_an_adaptive_limit_is_a_plain_value() -> None:
    gauge = after(refusal())
    assert AdaptiveLimit(**dataclasses.asdict(gauge)) == gauge
