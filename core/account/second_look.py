"""What a second look may still cost at most: its share of the images, in as many requests as the
leaves that can leave some unclear."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from core.account.budget import NextCall, enough
from core.account.estimate import Ahead, Estimate, OpenNode
from core.states import NodeKind
from core.tree.packing import balanced


@dataclass(frozen=True, slots=True)
class LooksAhead:
    """``looks``: leaves that a second look may show. ``root``: the branch that answers after them
    where one request shows the whole set, because that request gives only notes if an image is
    unclear."""

    looks: tuple[OpenNode, ...] = ()
    root: tuple[OpenNode, ...] = ()

    @property
    def images(self) -> int:
        return sum(node.images for node in self.looks)


def looks_ahead(
    most: int, leaves: Sequence[int], tokens: float, room: int, is_alone: bool
) -> LooksAhead:
    """The dearest way to look at ``most`` images again. ``leaves``: images of each leaf that is not
    answered yet; ``tokens``: of an image at the second look; ``room``: images of one request;
    ``is_alone``: the one leaf is the root, and a model is asked about the set."""
    images = min(most, sum(leaves))
    if not images:
        return LooksAhead()
    requests = max(min(images, len(leaves)), -(-images // room))
    looks = tuple(
        OpenNode(NodeKind.LEAF, size, round(size * tokens), 0, 0, look=2)
        for size in balanced(images, requests)
    )
    root = OpenNode(NodeKind.BRANCH, sum(leaves), 0, 0, sum(leaves))
    return LooksAhead(looks, (root,) if is_alone else ())


def with_looks(
    forecast: Estimate, more: Ahead, calls: Sequence[NextCall], seconds: float
) -> Estimate:
    """``forecast`` and what a second look takes beside it: ``more``, in these ``calls``, which show
    no further image and are made after the others, in so many ``seconds``."""
    rest = (*forecast.calls, *(replace(call, images=0) for call in calls))
    return replace(
        forecast,
        requests=forecast.requests + more.requests,
        prompt_tokens=forecast.prompt_tokens + more.prompt_tokens,
        completion_tokens=forecast.completion_tokens + more.completion_tokens,
        cost=forecast.cost + more.cost,
        cost_most=forecast.cost_most + more.cost_most,
        seconds=forecast.seconds + seconds,
        calls=rest,
        budget=enough(0.0, rest),
    )
