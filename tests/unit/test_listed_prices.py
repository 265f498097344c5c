"""Prices of public providers from the package: by address and model, by day, by prompt size."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from genai_prices.types import ConditionalPrice, ModelPrice, StartDateConstraint, Tier, TieredPrices

from core.catalog import listed_prices
from core.catalog.listed_prices import listed_price, newest_price
from core.catalog.models import Price
from core.catalog.prices import find_price, parse_prices
from core.settings import load

NOW = datetime(2026, 11, 29, tzinfo=UTC)
OPENAI = "https://api.openai.com/v1"
CLAUDE = "https://api.anthropic.com/v1/"


def test_a_public_provider_is_found_by_its_address():
    known = listed_price("gpt-4o", OPENAI, 128_000, NOW)
    assert known.price == Price("USD", 2.5, 1.25, 10.0)
    assert known.source.startswith("by genai-prices ")


@pytest.mark.parametrize(
    ("model", "url"),
    [
        ("gpt-4o", "http://127.0.0.1:8000/v1"),
        ("gpt-4o", "http://[::1]:8000/v1"),
        ("gpt-4o", "http://vllm:8000/v1"),
        ("gpt-4o", "https://llm.example.com/v1"),  # a gateway of one's own may bill otherwise
        ("nobody-knows-this", OPENAI),
        ("whisper-1", OPENAI),  # priced by the minute
    ],
)
def test_what_is_not_listed_has_no_price(model, url):
    assert listed_price(model, url, 128_000, NOW) is None


def test_a_host_that_is_no_public_name_loads_nothing(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "genai_prices.data_snapshot", None)
    assert listed_price("unseen-before", "http://10.0.0.7:8000/v1", 128_000, NOW) is None


def test_the_dearest_price_up_to_the_largest_prompt_counts():
    small = listed_price("claude-sonnet-4-5", CLAUDE, 200_000, NOW).price
    large = listed_price("claude-sonnet-4-5", CLAUDE, 200_001, NOW).price
    assert (small.prompt, large.prompt) == (3.0, 6.0)
    assert large.completion > small.completion


def test_a_price_holds_from_its_day_on(monkeypatch):
    class Model:
        prices = (
            ConditionalPrice(prices=ModelPrice(input_mtok=Decimal(2), output_mtok=Decimal(4))),
            ConditionalPrice(
                StartDateConstraint(date(2026, 11, 29)),
                prices=ModelPrice(
                    input_mtok=TieredPrices(Decimal(1), [Tier(1_000, Decimal(3))]),
                    output_mtok=Decimal(5),
                ),
            ),
        )

        def get_prices(self, when):
            return self.prices[self.prices[1].constraint.active(when)].prices

    monkeypatch.setattr(listed_prices, "_find", lambda model, url: Model())
    before = listed_price("any", OPENAI, 1_000, NOW - timedelta(days=1)).price
    assert (before.prompt, before.cached, before.completion) == (2.0, 2.0, 4.0)
    assert listed_price("any", OPENAI, 1_000, NOW).price.prompt == 1.0
    assert listed_price("any", OPENAI, 1_001, NOW).price.prompt == 3.0


def test_the_data_are_as_new_as_their_newest_price_that_holds():
    newest = newest_price(NOW.date())
    assert date(2026, 10, 1) < newest <= NOW.date()
    assert newest_price(newest) == newest


# --- which of the lists counts


def test_the_own_list_comes_first_then_the_providers_own():
    own = parse_prices(
        '{"as_of": "2026-11-20", "models": {"gpt-4o": {"prompt": 9, "completion": 9}}}'
    )
    assert find_price("gpt-4o", OPENAI, own, 128_000, NOW).price.prompt == 9
    assert find_price("gpt-4o", OPENAI, None, 128_000, NOW).price.prompt == 2.5
    stepfun = find_price("step-3.7-flash", "https://api.stepfun.com/v1", None, 256_000, NOW)
    assert (stepfun.price.currency, stepfun.source) == ("CNY", "of 2026-09-29")
    gateway = find_price("step-3.7-flash", "https://llm.example.com/v1", None, 256_000, NOW)
    assert gateway.source == "of 2026-09-29"  # nobody says otherwise


def test_a_reseller_sets_the_price_of_stepfuns_models():
    url = "https://openrouter.ai/api/v1"
    resold = find_price("stepfun/step-3.7-flash", url, None, 256_000, NOW)
    assert resold.source.startswith("by genai-prices ")


@pytest.mark.parametrize(("days", "is_old"), [(29, True), (31, False)])
def test_a_price_gets_old(days, is_old):
    as_of = datetime.now(UTC).date() - timedelta(days=30)
    prices = f'{{"as_of": "{as_of}", "models": {{"mine": {{"prompt": 1, "completion": 2}}}}}}'
    settings = load(prices=prices, prices_days=days)
    assert settings.price_is_old(settings.find_price("mine")) is is_old
