"""What a second look takes at most, for ``estimate``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from core.account.estimate import Ahead, Estimate, ahead, calls_ahead, time_at
from core.account.habit import PastCall, habit_of
from core.account.second_look import looks_ahead, with_looks
from core.catalog.tokens import Detail
from core.requests.request import RequestContext
from core.settings import Settings
from core.states import NodeKind
from overstory.output.plural import pluralize

Past = Callable[[str], Sequence[PastCall]]


@dataclass(frozen=True, slots=True)
class SecondLook:
    """At most so many images are asked again, of ``model`` at ``detail``; ``more`` is what that
    takes, with the request for the answer where the first look would have given it."""

    images: int
    model: str
    detail: Detail
    more: Ahead
    is_priced: bool

    @property
    def row(self) -> tuple[str, str]:
        images = pluralize(self.images, "image")
        again = f"at most {images} again at {self.detail} detail by {self.model}"
        if not self.is_priced:
            return "second look", f"{again}; its price is not known: set OVERSTORY_PRICES"
        return "second look", f"{again}: {self.more.cost:.4f} {self.more.currency} of it"

    @property
    def value(self) -> dict[str, Any]:
        return {
            "images": self.images,
            "requests": self.more.requests,
            "model": self.model,
            "detail": self.detail,
            "cost": round(self.more.cost, 6),
            "currency": self.more.currency,
        }


def looked_twice(
    settings: Settings,
    forecast: Estimate,
    first: RequestContext,
    again: RequestContext,
    leaves: Sequence[int],
    tokens: Sequence[int],
    past: Past,
) -> tuple[Estimate, SecondLook | None]:
    """``forecast`` with all that a second look may take, and that alone. ``leaves``: images in each
    leaf; ``tokens``: those of each image that may be looked at twice, the dearest ones."""
    if not tokens or not leaves:
        return forecast, None
    each, room = sum(tokens) / len(tokens), again.capacity.leaf.items
    is_alone = len(leaves) == 1 and first.asks_above_leaves
    looks = looks_ahead(len(tokens), leaves, each, room, is_alone)
    parts = ((looks.looks, again), (looks.root, first))
    more = [
        ahead(nodes, ask, habit_of(past(ask.model)), settings.price_of(ask.model))
        for nodes, ask in parts
    ]
    calls = [
        call
        for nodes, ask in parts
        for call in calls_ahead(nodes, ask, past(ask.model), settings.price_of(ask.model))
    ]
    both = more[0].and_again(more[1])
    written = more[0].completion_tokens / len(looks.looks)
    leaf = habit_of(past(again.model)).seconds(NodeKind.LEAF, written)
    limits = settings.sure_limits
    seconds, _ = time_at(limits, len(looks.looks), both.requests, both.tokens, leaf)
    counted = with_looks(forecast, both, calls, seconds)
    is_priced = settings.find_price(again.model) is not None
    return counted, SecondLook(looks.images, again.model, again.detail, both, is_priced)
