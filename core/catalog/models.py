"""Capabilities and prices of models and providers, with sources and dates."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal

Family = Literal["step-1o", "step-1v"]
Structured = Literal["json_schema", "json_object", "text"]
"""How to request JSON: a schema that the endpoint enforces, its JSON mode, or only the prompt."""


@dataclass(frozen=True, slots=True)
class Price:
    """Money per million tokens: input (cache miss), cached input, output."""

    currency: str
    prompt: float
    cached: float
    completion: float


@dataclass(frozen=True, slots=True)
class KnownPrice:
    """A price and where it is from. ``as_of``: the day on which it was known to hold; ``source``:
    how it is named to people."""

    price: Price
    as_of: date
    source: str


@dataclass(frozen=True, slots=True)
class ModelProfile:
    """Limits of one model. Token counts are decimal: 256K is read as 256,000, the safe side."""

    context_tokens: int
    images_per_request: int
    family: Family = "step-1o"
    prices: tuple[Price, ...] = ()
    json_schema: bool = False  # the endpoint can enforce a schema (fact sheet 2.1)


@dataclass(frozen=True, slots=True)
class ProviderProfile:
    """How to talk to a kind of endpoint."""

    file_store: bool  # images are uploaded once and sent by id; else inline as data URLs
    request_image_bytes: int  # sum over the images of one request, in base64 (fact sheet 3.1)


PRICES_AS_OF = "2026-09-29"
"""Fact sheet section 7: the newest price pages of .ai (USD) and .com (CNY)."""

MODELS = {
    "step-5-preview": ModelProfile(
        1_000_000,
        60,
        prices=(Price("USD", 1.00, 0.05, 2.70), Price("CNY", 7.0, 0.35, 20.0)),
        json_schema=True,
    ),
    "step-3.7-flash": ModelProfile(
        256_000,
        60,
        prices=(Price("USD", 0.20, 0.04, 1.15), Price("CNY", 1.35, 0.27, 8.1)),
        json_schema=True,
    ),
    "step-1o-turbo-vision": ModelProfile(
        32_000,
        60,
        prices=(Price("USD", 0.36, 0.07, 1.15), Price("CNY", 2.5, 0.5, 8.0)),
    ),
}
UNKNOWN_MODEL = ModelProfile(128_000, 60)
"""For models not in MODELS; OVERSTORY_CONTEXT_TOKENS and _IMAGES_PER_REQUEST override it."""

ProviderName = Literal["stepfun", "openai"]
PROVIDERS: dict[str, ProviderProfile] = {
    "stepfun": ProviderProfile(file_store=True, request_image_bytes=20_000_000),
    "openai": ProviderProfile(file_store=False, request_image_bytes=20_000_000),
}


def model_profile(model: str) -> ModelProfile:
    return MODELS.get(model, UNKNOWN_MODEL)


def structured_of(model: str, provider: str) -> Structured:
    """How to request JSON from ``model``: by an enforced schema if that is known to work."""
    known = MODELS.get(model)
    enforces = known.json_schema if known else provider == "openai"
    return "json_schema" if enforces else "json_object"


def currency_of(base_url: str) -> str:
    """StepFun bills .com accounts in CNY and .ai accounts in USD (fact sheet 9)."""
    return "CNY" if "stepfun.com" in base_url else "USD"


def price_of(model: str, base_url: str) -> Price:
    """The built-in price of ``model`` in the endpoint's currency; zeros if unknown."""
    currency = currency_of(base_url)
    for price in model_profile(model).prices:
        if price.currency == currency:
            return price
    return Price(currency, 0.0, 0.0, 0.0)


def cost(price: Price, prompt_tokens: int, cached_tokens: int, completion_tokens: int) -> float:
    """Money for one call. ``prompt_tokens`` includes the cached ones, which cost less."""
    fresh = max(prompt_tokens - cached_tokens, 0)
    total = (
        fresh * price.prompt + cached_tokens * price.cached + completion_tokens * price.completion
    )
    return total / 1_000_000


STORAGE_PRICE_GB_DAY = {"USD": 0.08, "CNY": 0.5}
"""Price of stored files per GB and day (fact sheet section 4)."""
