"""What a job still has to ask: its planned requests, and the most that a second look may add."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from core.account.estimate import OpenNode
from core.account.second_look import LooksAhead, looks_ahead
from core.catalog.models import Price
from core.catalog.tokens import detail_at
from core.requests.request import RequestContext
from core.requests.second_look import looks_left
from core.settings import Settings
from core.states import NodeKind
from models.engine import Connection
from models.reads import inspect
from models.reads.pipeline import JobRow
from tasks.calls.node_request import context_in


@dataclass(frozen=True, slots=True)
class PartAhead:
    """Requests to one model at one detail that are not answered yet."""

    model: str
    nodes: Sequence[OpenNode]
    context: RequestContext
    price: Price


def parts_ahead(
    settings: Settings,
    connection: Connection,
    job: JobRow,
    typical: float | None = None,
    typical_again: float | None = None,
) -> list[PartAhead]:
    """The parts of a job's open requests. ``typical``: tokens of an image that is not prepared yet;
    None: as of those that are. ``typical_again``: of one at the second look; None: as many as an
    image can take."""
    context = context_in(settings, connection, job)
    nodes = inspect.open_nodes(connection, job.id, typical, context.tokens_most)
    first = [node for node in nodes if node.look == 1]
    if not context.marks:
        return [_part(settings, job, first, context)]
    again = at_second_look(job)
    context_again = context_in(settings, connection, again)
    tokens = typical_again or context_again.tokens_most
    ahead = _looks(connection, job, first, context, tokens, context_again.capacity.leaf.items)
    begun = [
        replace(node, image_tokens=round(node.images * tokens)) for node in nodes if node.look > 1
    ]
    return [
        _part(settings, job, [*first, *ahead.root], context),
        _part(settings, again, [*begun, *ahead.looks], context_again),
    ]


def at_second_look(job: JobRow) -> JobRow:
    """``job`` with the model and the detail of its second look."""
    model = job.options.second_model or job.model
    return replace(job, model=model, detail=detail_at(job.detail, look=2))


def _looks(
    connection: Connection,
    job: JobRow,
    first: Sequence[OpenNode],
    context: RequestContext,
    tokens: float,
    room: int,
) -> LooksAhead:
    """The looks that the bound leaves for the open leaves."""
    taken = inspect.looked_twice(connection, job.id)
    most = looks_left(job.options.second_look or 0.0, job.submitted, taken)
    leaves = [node.images for node in first if node.kind == NodeKind.LEAF]
    is_alone = len(first) == 1 and context.asks_above_leaves
    return looks_ahead(most, leaves, tokens, room, is_alone)


def _part(
    settings: Settings, job: JobRow, nodes: Sequence[OpenNode], context: RequestContext
) -> PartAhead:
    return PartAhead(job.model, nodes, context, settings.price_of(job.model))
