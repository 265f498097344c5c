"""What a model costs: by the person's own list, else by the package of public prices for providers
other than StepFun, else by StepFun's list.

The person's own list, with its date:

    {"as_of": "2026-11-20", "currency": "USD",
     "models": {"step-3.7-flash": {"prompt": 0.2, "cached": 0.04, "completion": 1.15}}}

Prices are per million tokens. Without ``cached``, cached input costs the ``prompt`` price.
"""

from __future__ import annotations

import datetime
import urllib.parse
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from core.catalog.facts import facts_of
from core.catalog.listed_prices import listed_price
from core.catalog.models import KnownPrice, Price, currency_of
from core.errors import WrongUsage

Money = Annotated[float, Field(ge=0, le=1e9)]
EXAMPLE = '{"as_of": "2026-11-20", "models": {"MODEL": {"prompt": 0.20, "completion": 1.15}}}'


class Listed(BaseModel):
    """Price of one model, per million tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    prompt: Money
    cached: Money | None = None
    completion: Money


class PriceList(BaseModel):
    """The list as parsed. Without ``currency``, prices are in the endpoint's currency."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    as_of: datetime.date
    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")] | None = None
    models: Annotated[dict[str, Listed], Field(min_length=1)]

    def __str__(self) -> str:
        return f"{', '.join(self.models)} as of {self.as_of}"


def parse_prices(text: str) -> PriceList:
    """Parse a PriceList from JSON. Raises WrongUsage, which names each wrong field."""
    try:
        return PriceList.model_validate_json(text)
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc'])) or 'prices'}: {e['msg']}" for e in error.errors()]
        raise WrongUsage(f"{'; '.join(lines)}; for example {EXAMPLE}") from None


def find_price(
    model: str, base_url: str, own: PriceList | None, prompt_tokens: int, now: datetime.datetime
) -> KnownPrice | None:
    """The price of ``model`` at an endpoint for prompts of up to ``prompt_tokens``; None if
    unknown."""
    listed = own.models.get(model) if own else None
    if own is not None and listed is not None:
        cached = listed.prompt if listed.cached is None else listed.cached
        currency = own.currency or currency_of(base_url)
        price = Price(currency, listed.prompt, cached, listed.completion)
        return KnownPrice(price, own.as_of, f"of {own.as_of}")
    if not is_stepfun(base_url):  # another provider of the same model sets its own price
        public = listed_price(model, base_url, prompt_tokens, now)
        if public is not None:
            return public
    facts = facts_of(model, base_url)
    if not facts.prices:
        return None
    day = facts.as_of("prices")
    price = price_of(model, base_url)
    return KnownPrice(price, datetime.date.fromisoformat(day), f"of {day}")


def price_of(model: str, base_url: str) -> Price:
    """The built-in price of ``model`` in the endpoint's currency; zeros if unknown."""
    currency = currency_of(base_url)
    for price in facts_of(model, base_url).prices:
        if price.currency == currency:
            return price
    return Price(currency, 0.0, 0.0, 0.0)


def is_stepfun(base_url: str) -> bool:
    host = urllib.parse.urlsplit(base_url).hostname or ""
    return host.endswith((".stepfun.ai", ".stepfun.com"))
