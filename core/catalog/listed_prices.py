"""Prices of public providers, from the package genai-prices (Pydantic's, MIT).

The package finds a provider by the address of its API and a model by the names that requests use.
Its data come with it, in US dollars; nothing is fetched.
"""

from __future__ import annotations

import ipaddress
import urllib.parse
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from importlib import metadata
from typing import TYPE_CHECKING

from core.catalog.models import KnownPrice, Price

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, TieredPrices

PACKAGE = "genai-prices"


def listed_price(model: str, base_url: str, prompt_tokens: int, now: datetime) -> KnownPrice | None:
    """The price of ``model`` at ``base_url`` on the day of ``now``; None if it is not listed.

    Some prices rise with the tokens of a request's prompt: of those up to ``prompt_tokens`` the
    dearest counts, so that a budget holds for the largest request too.
    """
    found = _find(model, base_url)
    if found is None:
        return None
    prices = found.get_prices(now)
    prompt = _money(getattr(prices, "input_mtok", None), prompt_tokens)
    completion = _money(getattr(prices, "output_mtok", None), prompt_tokens)
    if prompt is None or completion is None:  # priced by images or minutes, say
        return None
    cached = _money(getattr(prices, "cache_read_mtok", None), prompt_tokens)
    price = Price("USD", prompt, prompt if cached is None else cached, completion)
    return KnownPrice(price, newest_price(now.date()), f"by {_package()}")


def newest_price(today: date) -> date:
    """The day of the newest price in the package that holds already: its data are as new."""
    return max(day for day in _starts() if day <= today)


def _is_public(base_url: str) -> bool:
    """Whether the host of ``base_url`` can be a public provider's: a name with a dot."""
    host = urllib.parse.urlsplit(base_url).hostname or ""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return "." in host
    return False


@lru_cache(maxsize=64)
def _find(model: str, base_url: str) -> ModelInfo | None:
    """The package's entry. It takes 0.2 s and 16 MB, so only hosts that it may know load it."""
    if not _is_public(base_url):
        return None
    from genai_prices.data_snapshot import get_snapshot

    try:
        return get_snapshot().find_provider_model(model, None, None, base_url)[1]
    except LookupError:
        return None


@lru_cache(maxsize=1)
def _package() -> str:
    return f"{PACKAGE} {metadata.version(PACKAGE)}"


@lru_cache(maxsize=1)
def _starts() -> tuple[date, ...]:
    """The first days of all dated prices."""
    from genai_prices.data_snapshot import get_snapshot
    from genai_prices.types import StartDateConstraint

    models = (model for provider in get_snapshot().providers for model in provider.models)
    dated = (price for model in models if isinstance(model.prices, list) for price in model.prices)
    return tuple(
        price.constraint.start_date
        for price in dated
        if isinstance(price.constraint, StartDateConstraint)
    )


def _money(price: Decimal | TieredPrices | None, prompt_tokens: int) -> float | None:
    if price is None or isinstance(price, Decimal):
        return None if price is None else float(price)
    reached = [tier.price for tier in price.tiers if tier.start < prompt_tokens]
    return float(max([price.base, *reached]))
