"""What ``overstory doctor --probe`` costs, said by itself and where nothing is known of a model."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from core.account.budget import spent_on
from core.catalog.prices import is_stepfun
from core.reply import Usage
from core.requests.probe import Probe, probes
from core.settings import SANDBOX, Settings
from core.tree.capacity import LearnedLimits
from models import endpoint_probes
from models.engine import Connection
from overstory.output.plural import pluralize

ANY = random.SystemRandom()
"""The words of a probe that is not sent do not matter."""


@dataclass(frozen=True, slots=True)
class ProbePrice:
    """Of a probe: calls, tokens, and money; None where no price is known."""

    calls: int
    tokens: int
    cost: float | None
    currency: str

    @property
    def sums(self) -> str:
        """``about 24,000 tokens, 0.0052 USD``."""
        money = "at a price that is not known"
        if self.cost is not None:
            money = f"{self.cost:.4f} {self.currency}"
        return f"about {self.tokens:,} tokens, {money}"


def price_of_probe(settings: Settings, calls: Sequence[Probe]) -> ProbePrice:
    usages = [Usage(call.prompt_tokens, 0, call.completion_tokens) for call in calls]
    tokens = sum(usage.prompt_tokens + usage.completion_tokens for usage in usages)
    known = settings.find_price(settings.model)
    cost = None if known is None else sum(spent_on(known.price, usage) for usage in usages)
    return ProbePrice(len(calls), tokens, cost, settings.price_of(settings.model).currency)


def worthwhile_probe(
    settings: Settings,
    connection: Connection,
    model: str,
    learned: LearnedLimits,
    has_past: bool,
) -> ProbePrice | None:
    """What a probe of ``model`` costs, if nobody knows anything of it at this endpoint: no facts,
    no past calls, no probe. None in the sandbox and at StepFun's."""
    is_known = has_past or learned.image_tokens is not None or settings.facts_of(model).entry
    if is_known or settings.endpoint == SANDBOX or is_stepfun(settings.base_url):
        return None
    if endpoint_probes.probed(connection, settings.endpoint, model) is not None:
        return None
    at_model = settings.model_copy(update={"model": model})
    return price_of_probe(at_model, probes(at_model, learned, ANY))


def probe_hint(settings: Settings, model: str, price: ProbePrice) -> str:
    """The line that says so."""
    variable = "" if model == settings.model else f"OVERSTORY_MODEL={model} "
    return (
        f"nothing is known of {model} at {urlsplit(settings.base_url).netloc}, so this is a guess:"
        f" '{variable}overstory doctor --probe' measures it with {pluralize(price.calls, 'call')},"
        f" {price.sums}"
    )
