"""What a second look costs at most, for ``estimate``."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from core.account import estimate as core_estimate
from core.account.habit import Habit
from core.catalog.tokens import detail_at
from core.jobs import JobSpec
from core.requests.request import RequestContext
from core.requests.second_look import looks_left
from core.settings import Settings
from core.tree.capacity import expected_tokens
from overstory.output.plural import pluralize


@dataclass(frozen=True, slots=True)
class SecondLook:
    """At most so many images are asked again, of ``model`` at ``detail``, for ``cost``."""

    images: int
    requests: int
    model: str
    detail: str
    cost: float
    currency: str

    @property
    def row(self) -> tuple[str, str]:
        images = pluralize(self.images, "image")
        again = f"at most {images} again at {self.detail} detail by {self.model}"
        return "second look", f"{again}: {self.cost:.4f} {self.currency} more"

    @property
    def value(self) -> dict[str, Any]:
        return asdict(self) | {"cost": round(self.cost, 6)}


def second_look(
    settings: Settings, spec: JobSpec, request: RequestContext, leaves: list[int], habit: Habit
) -> SecondLook | None:
    """The bound on what looking twice costs; None for a job that looks once. ``leaves``: images in
    each leaf. Every leaf may have a request of its own for the images that it leaves unclear, and
    each image may be as large as ``detail`` lets it be."""
    asked = spec.detail or settings.detail
    share = spec.looking_twice(asked).second_look
    if share is None or not leaves:
        return None
    detail = detail_at(asked, look=2)
    again = replace(request, model=spec.second_model or request.model, detail=detail)
    left = looks_left(share, sum(leaves), 0)
    sizes = _spread(left, leaves)
    tokens = [[expected_tokens(detail)] * size for size in sizes]
    price = settings.price_of(again.model)
    bound = core_estimate.estimate(again, tokens, habit, price, settings.limits)
    return SecondLook(left, bound.requests, again.model, detail, bound.cost, bound.currency)


def _spread(images: int, leaves: list[int]) -> list[int]:
    """``images`` over as many requests as possible: that is the dearest way."""
    count = min(images, len(leaves))
    return [images // count + (number < images % count) for number in range(count)]
