"""The user's own price list with its date: it overrides core.catalog.models.

    {"as_of": "2026-11-20", "currency": "USD",
     "models": {"step-3.7-flash": {"prompt": 0.2, "cached": 0.04, "completion": 1.15}}}

Prices are per million tokens. Without ``cached``, cached input costs the ``prompt`` price.
"""

from __future__ import annotations

import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from core.catalog.models import PRICES_AS_OF, Price, currency_of, model_profile, price_of
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


def find_price(model: str, base_url: str, own: PriceList | None) -> tuple[Price, str] | None:
    """The price of ``model`` at an endpoint and its date; None if unknown."""
    listed = own.models.get(model) if own else None
    if own is not None and listed is not None:
        cached = listed.prompt if listed.cached is None else listed.cached
        currency = own.currency or currency_of(base_url)
        return Price(currency, listed.prompt, cached, listed.completion), str(own.as_of)
    if not model_profile(model).prices:
        return None
    return price_of(model, base_url), PRICES_AS_OF
