"""The budget of a job: checked before a call is written, in the transaction that claims its node.

Where there is no room for all that a reply may write, the call is sent with as many tokens as
earlier replies have shown to be enough, and only they are held back. A reply that is cut short by
this is asked again with all of its tokens, once the budget has room for them.

That transaction has updated the job's row (models.claims). So on PostgreSQL the calls of one job
are counted one after the other; on SQLite every writer waits for its turn anyway.
"""

from __future__ import annotations

from dataclasses import replace

from core.account.budget import Money, NextCall, Room, most_cost, reason, room_for
from core.account.estimate import calls_ahead
from core.account.habit import enough_tokens
from core.catalog.prices import EXAMPLE
from core.errors import WrongUsage
from core.settings import Settings
from core.states import JobStatus, NodeKind
from models import ledger, state
from models.claims import Lease, NodeWork
from models.engine import Connection
from models.ledger import NewCall
from models.reads import inspect
from tasks.calls.node_request import AnyCall, context_of
from tasks.runtime.services import Services


def check_budget(settings: Settings, model: str, budget: float | None) -> None:
    """Raises WrongUsage for a budget if no price of ``model`` is known."""
    if budget is not None and settings.find_price(model) is None:
        raise WrongUsage(
            f"budget: no price of {model} is known, so nothing could be counted: set"
            f" OVERSTORY_PRICES to a JSON file or JSON with its price per million tokens, such as"
            f" {EXAMPLE.replace('MODEL', model)}"
        )


def most_of(settings: Settings, call: AnyCall) -> float:
    """The most that a call may cost."""
    return _cost(settings, call, call.max_tokens)


def must_wait(services: Services, call: AnyCall) -> bool:
    """Whether a call must wait because calls of its job in flight hold what is left of the budget.

    This is checked before the account is asked; ``affords`` decides.
    """
    budget = call.node.options.budget  # as it was a moment ago
    if budget is None:
        return False
    with services.database.read() as connection:
        money = ledger.money(connection, call.node.job_id)
        return _fitting(connection, services.settings, call, budget, money)[0] == Room.LATER


def affords(
    services: Services, connection: Connection, call: AnyCall, new: NewCall, lease: Lease
) -> NewCall | None:
    """``new`` as its job can pay for it now: with fewer tokens, if the budget has no room for all.
    If it cannot be paid, its node, just claimed, is ready again; and a job that could not pay even
    after all calls in flight have returned is paused."""
    node = call.node
    budget = ledger.budget_of(connection, node.job_id)
    if budget is None:
        return new
    money = ledger.money(connection, node.job_id)
    room, max_tokens = _fitting(connection, services.settings, call, budget, money)
    most = _cost(services.settings, call, max_tokens)
    if room == Room.FITS:
        limit = max_tokens if max_tokens < call.max_tokens else None
        return replace(new, reserved_cost=most, max_tokens=limit)
    if room == Room.NONE:
        why = reason(
            node.job_id, budget, money, most, _rest(services, connection, node), new.currency
        )
    state.node_postponed(connection, node.id, lease.token, 0.0, None, False)
    if room == Room.NONE:
        state.job_moved(connection, node.job_id, JobStatus.PAUSED, why)
    return None


def _fitting(
    connection: Connection, settings: Settings, call: AnyCall, budget: float, money: Money
) -> tuple[Room, int]:
    """Whether the budget has room for a call, and how many tokens its reply may have: all, or if
    there is no room for them, probably enough."""
    room = room_for(budget, money, most_of(settings, call))
    if room == Room.FITS:
        return room, call.max_tokens
    max_tokens = _enough_tokens(connection, call)
    return room_for(budget, money, _cost(settings, call, max_tokens)), max_tokens


def _enough_tokens(connection: Connection, call: AnyCall) -> int:
    node = call.node
    if ledger.limited(connection, node.id):
        return call.max_tokens
    replies = inspect.replies_like(connection, node.job_id, node.model, node.endpoint)
    images = call.images or node.last_position - node.first_position + 1
    return enough_tokens(replies, NodeKind(node.kind), images, call.max_tokens)


def _cost(settings: Settings, call: AnyCall, max_tokens: int) -> float:
    """The most that a call may cost whose reply has at most ``max_tokens``."""
    return most_cost(settings.price_of(call.node.model), call.prompt_tokens, max_tokens)


def _rest(services: Services, connection: Connection, node: NodeWork) -> list[NextCall]:
    """The calls of a node's job that are not paid yet."""
    return calls_ahead(
        inspect.open_nodes(connection, node.job_id),
        context_of(services, connection, node),
        inspect.replies_like(connection, node.job_id, node.model, node.endpoint),
        services.settings.price_of(node.model),
    )
