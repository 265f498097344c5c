"""Budgets as pure functions: what still fits, and the messages."""

from __future__ import annotations

import json
from datetime import datetime

import pytest

from core.account.budget import (
    Money,
    NextCall,
    Room,
    account_budgets,
    enough,
    is_spent,
    most_cost,
    plain,
    reached,
    reason,
    room_for,
    rounded_up,
)
from core.catalog.models import Price
from core.catalog.prices import parse_prices
from core.errors import WrongUsage
from core.settings import load


@pytest.mark.parametrize(
    ("spent", "held", "most", "room"),
    [
        (0.0, 0.0, 2.0, Room.FITS),
        (1.0, 0.5, 0.5, Room.FITS),
        (1.0, 0.6, 0.5, Room.LATER),
        (1.5, 0.1, 0.5, Room.LATER),
        (1.6, 0.1, 0.5, Room.NONE),
        (1.6, 0.0, 0.5, Room.NONE),
        (0.0, 0.0, 2.1, Room.NONE),
        (3.0, 0.0, 0.0, Room.NONE),
    ],
)
def test_a_call_is_sent_only_if_all_possible_costs_fit(spent, held, most, room):
    assert room_for(2.0, Money(spent, held), most) == room


def test_the_highest_cost_of_a_call_assumes_no_cached_tokens():
    assert most_cost(Price("USD", 1.0, 0.0, 10.0), 1_000_000, 100_000) == 2.0


LEAF = NextCall(60, likely=0.1, held=0.3)


def test_a_sufficient_budget_leaves_room_for_each_call_in_its_turn():
    assert enough(1.0, [LEAF]) == 1.3
    assert enough(1.0, [LEAF], first=0.5) == 1.5  # the next one needs more than it did before
    assert enough(1.0, [LEAF] * 11) == pytest.approx(1.0 + 10 * 0.115 + 0.3)
    root = NextCall(0, likely=0.2, held=0.8)
    assert enough(0.0, [LEAF, LEAF, root]) == pytest.approx(0.23 + 0.8)
    cheap = NextCall(0, likely=0.0, held=0.01)
    assert enough(0.0, [root, cheap]) == 0.8  # the dearest call decides, even if it is not the last


def test_a_budget_reaches_as_far_as_calls_have_room_one_after_the_other():
    calls = [LEAF] * 4
    assert [reached(budget, calls) for budget in (0.2, 0.3, 0.45, 0.61, 9.0)] == [0, 1, 2, 4, 4]
    assert reached(enough(0.0, calls), calls) == 4


@pytest.mark.parametrize(
    ("money", "rounded"),
    [(0.0, 0.0), (0.00421, 0.0043), (0.0171, 0.0171), (0.6234, 0.624), (12.341, 12.35), (2.0, 2.0)],
)
def test_a_suggested_sum_is_rounded_up_in_its_third_digit(money, rounded):
    assert rounded_up(money) == rounded


def test_the_reason_names_spent_and_missing_money_and_how_to_continue():
    rest = [NextCall(6, 0.02, 0.1)] * 3
    said = reason("abc", 2.0, Money(1.9, 0.05), 0.1, rest, "USD")
    assert said.startswith("budget: 1.9000 of 2.00 USD is spent, 0.0500 is held for calls in")
    assert "; 3 calls are left, and the next may cost up to 0.1000" in said
    assert "overstory resume abc --budget 2.05" in said
    assert is_spent("paused", said)
    assert "lost" not in said
    lost = reason("abc", 2.0, Money(1.9, 0.0, 0.3), 0.2, rest[:1], "USD")
    assert "is spent (0.3000 of it on lost calls, if they were paid); 1 call is left" in lost
    assert not is_spent("running", said)
    assert not is_spent("paused", "no balance")


@pytest.mark.parametrize(("money", "said"), [(2.0, "2.00"), (0.015, "0.0150"), (0.0005, "0.0005")])
def test_money_is_shown_in_cents_when_cents_are_precise_enough(money, said):
    assert plain(money) == said


def at(text: str) -> float:
    return datetime.fromisoformat(f"{text}+00:00").timestamp()


@pytest.mark.parametrize(
    ("now", "day", "month", "ends"),
    [
        ("2026-11-29T23:59:59", "2026-11-29", "2026-11", ("2026-11-30", "2026-12-01")),
        ("2026-11-30T00:00:00", "2026-11-30", "2026-11", ("2026-12-01", "2026-12-01")),
        ("2026-12-31T12:00:00", "2026-12-31", "2026-12", ("2027-01-01", "2027-01-01")),
        ("2028-02-29T01:00:00", "2028-02-29", "2028-02", ("2028-03-01", "2028-03-01")),
    ],
)
def test_days_and_months_of_an_account_begin_at_midnight_utc(now, day, month, ends):
    today, this_month = account_budgets(at(now), 1.0, 20.0)
    assert (today.period, this_month.period) == (day, month)
    assert (today.since, this_month.since) == (at(day), at(f"{month}-01"))
    assert (today.until, this_month.until) == tuple(map(at, ends))


def test_an_account_without_budgets_has_none():
    assert account_budgets(0.0, None, None) == []
    assert [budget.setting for budget in account_budgets(0.0, None, 3.0)] == [
        "OVERSTORY_BUDGET_MONTH"
    ]


def test_a_pause_for_an_account_says_what_is_spent_and_when_it_ends():
    [budget] = account_budgets(at("2026-11-29T10:00:00"), 5.0, None)
    said = budget.why(Money(4.99, 0.0), 0.02, "USD")
    assert said == (
        "account budget: 5.00 for 2026-11-29 (UTC, OVERSTORY_BUDGET_DAY): 4.9900 USD is spent, and"
        " the next call may cost up to 0.0200. It goes on after 2026-11-30 00:00 UTC, or with a"
        " larger OVERSTORY_BUDGET_DAY"
    )
    assert is_spent("paused", said)
    [larger] = account_budgets(at("2026-11-29T10:00:00"), 6.0, None)
    assert not said.startswith(larger.reason)


# --- custom prices


OWN = {"as_of": "2026-11-20", "models": {"mine": {"prompt": 1.0, "completion": 2.0}}}


def test_a_price_list_is_read_inline_or_from_a_file(tmp_path):
    file = tmp_path / "prices.json"
    file.write_text(json.dumps(OWN))
    for given in (json.dumps(OWN), str(file)):
        settings = load(prices=given)
        mine, built_in = settings.find_price("mine"), settings.find_price("step-3.7-flash")
        assert (mine.price, str(mine.as_of)) == (Price("USD", 1.0, 1.0, 2.0), "2026-11-20")
        assert built_in.price == Price("USD", 0.20, 0.04, 1.15)
        assert str(built_in.as_of) == "2026-09-29"
        assert settings.find_price("other") is None
        assert settings.price_of("other") == Price("USD", 0.0, 0.0, 0.0)


def test_the_environment_sets_the_price_list(monkeypatch):
    monkeypatch.setenv("OVERSTORY_PRICES", json.dumps(OWN | {"currency": "EUR"}))
    assert load().price_of("mine").currency == "EUR"


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ('{"models": {}}', "as_of"),
        ('{"as_of": "2026-11-20", "models": {"m": {"prompt": -1, "completion": 2}}}', "prompt"),
        ('{"as_of": "2026-11-20", "modles": {}}', "modles"),
        ("/nowhere/prices.json", "/nowhere/prices.json cannot be read"),
        ("{", "OVERSTORY_PRICES"),
    ],
)
def test_a_wrong_price_list_is_refused_by_name(given, named):
    with pytest.raises(WrongUsage, match="OVERSTORY_PRICES") as refused:
        load(prices=given)
    assert named in str(refused.value)


def test_the_refusal_shows_an_example():
    with pytest.raises(WrongUsage, match="for example"):
        parse_prices("[]")
