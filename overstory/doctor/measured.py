"""Checks that show what past calls and the last probe tell of the model at its endpoint."""

from __future__ import annotations

from datetime import UTC, datetime

from core.account.token_fit import TokenFit
from core.catalog.image_tokens import ImageTokens, image_tokens_of
from core.catalog.tokens import Detail
from core.errors import OverstoryError
from models import endpoint_limits, endpoint_probes
from overstory.doctor.context import Context
from overstory.doctor.finding import Finding, ok, warning

USUAL: tuple[tuple[int, int, Detail], ...] = ((728, 546, "low"), (3024, 2268, "high"))
"""A photo as it is sent at low and at high detail."""


def tokens(context: Context) -> Finding | None:
    """How the model counts images, where that is measured; None where it is not, and where its
    calls agree with what is known of it."""
    settings = context.reached
    try:
        with context.database.read() as connection:
            learned = endpoint_limits.learned(connection, settings.endpoint, settings.model)
    except OverstoryError:
        return None  # the check of the database says it
    fit = learned.image_tokens
    if not isinstance(fit, TokenFit):
        return None
    facts = settings.facts_of(settings.model)
    if facts.entry is None:
        return ok(f"{_sizes(fit)} ({fit.source})")
    used = image_tokens_of(facts, fit)
    if used is not fit:
        return None
    known = image_tokens_of(facts)
    return warning(
        f"{_sizes(fit)} ({fit.source}), but {_sizes(known)} {known.source}",
        "estimates and budgets count as measured; 'overstory doctor --forget' measures anew",
    )


def _sizes(counted: ImageTokens) -> str:
    """``a photo of 728 x 546 takes 520 tokens at low detail and one of ...``."""
    told = [
        f"one of {width:,} x {height:,} takes {counted.of(width, height, detail):,} tokens"
        for width, height, detail in USUAL
        if not isinstance(counted, TokenFit) or counted.knows(detail)
    ]
    return " and ".join(told).replace("one of", "a photo of", 1)


def probed(context: Context) -> Finding | None:
    """What the last probe found; None without one."""
    settings = context.reached
    try:
        with context.database.read() as connection:
            last = endpoint_probes.probed(connection, settings.endpoint, settings.model)
    except OverstoryError:
        return None
    if last is None:
        return None
    day = f"{datetime.fromtimestamp(last.at, UTC):%Y-%m-%d}"
    return ok(f"on {day}: {last.found.sentence}", *last.found.headers.splitlines())
