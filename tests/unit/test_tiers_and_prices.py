"""Tiers and prices: the published tables by name, and cost sums."""

from __future__ import annotations

import pytest

from core.catalog.facts import facts_of
from core.catalog.models import Price, cost, currency_of
from core.catalog.prices import price_of
from core.catalog.tiers import TABLE_A, TABLE_B, tier
from core.errors import WrongUsage

AI, COM = "https://api.stepfun.ai/v1", "https://api.stepfun.com/v1"


@pytest.mark.parametrize(
    ("name", "limits"),
    [
        ("V0", TABLE_B["V0"]),
        ("v0", TABLE_B["V0"]),
        ("V4", TABLE_B["V4"]),
        ("V5", TABLE_A["V5"]),  # the newest table with this tier
        ("a:V0", TABLE_A["V0"]),
        ("A:v0", TABLE_A["V0"]),
        ("b:V4", TABLE_B["V4"]),
    ],
)
def test_a_tier_is_found_by_its_name(name, limits):
    assert tier(name) == limits


@pytest.mark.parametrize("name", ["", "V9", "b:V5", "c:V0", ":", "a:", "V0:a", "a:b:V0"])
def test_an_unknown_tier_is_refused_and_the_known_ones_are_listed(name):
    with pytest.raises(WrongUsage, match="a:V0"):
        tier(name)


@pytest.mark.parametrize("table", [TABLE_A, TABLE_B])
def test_a_higher_tier_allows_more(table):
    tiers = [table[name] for name in sorted(table)]
    for name in ("concurrency", "rpm", "tpm"):
        values = [getattr(limits, name) for limits in tiers]
        assert values == sorted(set(values))


@pytest.mark.parametrize(
    ("usage", "money"),
    [
        ((0, 0, 0), 0.0),
        ((1_000_000, 0, 0), 0.20),
        ((1_000_000, 1_000_000, 0), 0.04),  # cached tokens are part of the prompt
        ((1_000_000, 500_000, 0), 0.12),
        ((0, 0, 1_000_000), 1.15),
        ((10_260, 0, 2_000), 0.004352),
        ((100, 200, 0), 0.000008),  # more cached than sent: the cost is never negative
    ],
)
def test_a_call_costs_what_its_tokens_cost(usage, money):
    assert cost(price_of("step-3.7-flash", AI), *usage) == pytest.approx(money)


@pytest.mark.parametrize(
    ("model", "url", "price"),
    [
        ("step-3.7-flash", AI, Price("USD", 0.20, 0.04, 1.15)),
        ("step-3.7-flash", COM, Price("CNY", 1.35, 0.27, 8.1)),
        ("step-3.7-flash", "http://127.0.0.1/v1", Price("USD", 0.20, 0.04, 1.15)),
        ("somebody-elses", COM, Price("CNY", 0.0, 0.0, 0.0)),
    ],
)
def test_a_price_is_in_the_currency_of_the_endpoint(model, url, price):
    assert price_of(model, url) == price
    assert currency_of(url) == price.currency


def test_an_unknown_model_gets_conservative_limits():
    facts = facts_of("somebody-elses")
    assert (facts.images, facts.prices) == (60, ())
    assert facts.context_tokens <= facts_of("step-3.7-flash").context_tokens
