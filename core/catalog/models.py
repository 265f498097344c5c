"""Providers, and prices as values. What is known of models: core/catalog/facts.py."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal

Structured = Literal["json_schema", "json_object", "text"]
"""How to request JSON: a schema that the endpoint enforces, its JSON mode, or only the prompt."""
COST_DIGITS = 10
"""A price of a million tokens has four decimals, so the cost of one token has ten."""


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
class ProviderProfile:
    """How to talk to a kind of endpoint."""

    file_store: bool  # images are uploaded once and sent by id; else inline as data URLs
    request_image_bytes: int  # sum over the images of one request, in base64 (fact sheet 3.1)


ProviderName = Literal["stepfun", "openai"]
PROVIDERS: dict[str, ProviderProfile] = {
    "stepfun": ProviderProfile(file_store=True, request_image_bytes=20_000_000),
    "openai": ProviderProfile(file_store=False, request_image_bytes=20_000_000),
}


def currency_of(base_url: str) -> str:
    """StepFun bills .com accounts in CNY and .ai accounts in USD (fact sheet 9)."""
    return "CNY" if "stepfun.com" in base_url else "USD"


def cost(price: Price, prompt_tokens: int, cached_tokens: int, completion_tokens: int) -> float:
    """Money for one call. ``prompt_tokens`` includes the cached ones, which cost less."""
    fresh = max(prompt_tokens - cached_tokens, 0)
    total = (
        fresh * price.prompt + cached_tokens * price.cached + completion_tokens * price.completion
    )
    return total / 1_000_000


STORAGE_PRICE_GB_DAY = {"USD": 0.08, "CNY": 0.5}
"""Price of stored files per GB and day (fact sheet section 4)."""
