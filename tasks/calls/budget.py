"""The budget of a job: checked before a call is written, in the transaction that claims its node.

That transaction has updated the job's row (models.claims). So on PostgreSQL the calls of one job
are counted one after the other; on SQLite every writer waits for its turn anyway.
"""

from __future__ import annotations

from core.account.budget import Room, most_cost, reason, room_for
from core.catalog.prices import EXAMPLE
from core.errors import WrongUsage
from core.settings import Settings
from core.states import JobStatus
from models import ledger, state
from models.claims import Lease, NodeWork
from models.engine import Connection
from models.ledger import NewCall
from tasks.calls.node_request import AnyCall
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
    return most_cost(settings.price_of(call.node.model), call.prompt_tokens, call.max_tokens)


def must_wait(services: Services, call: AnyCall) -> bool:
    """Whether a call must wait because calls of its job in flight hold what is left of the budget.

    This is checked before the account is asked; ``affords`` decides.
    """
    budget = call.node.options.budget  # as it was a moment ago
    if budget is None:
        return False
    with services.database.read() as connection:
        money = ledger.money(connection, call.node.job_id)
    return room_for(budget, money, most_of(services.settings, call)) == Room.LATER


def affords(connection: Connection, node: NodeWork, call: NewCall, lease: Lease) -> bool:
    """Whether the job can pay for ``call``. If not, its node, just claimed, is ready again; and a
    job that could not pay even after all calls in flight have returned is paused."""
    budget = ledger.budget_of(connection, node.job_id)
    if budget is None:
        return True
    money = ledger.money(connection, node.job_id)
    room = room_for(budget, money, call.reserved_cost)
    if room == Room.FITS:
        return True
    state.node_postponed(connection, node.id, lease.token, 0.0, None, False)
    if room == Room.NONE:
        rest = ledger.rest_of(connection, node.job_id)
        why = reason(node.job_id, budget, money, call.reserved_cost, rest, call.currency)
        state.job_moved(connection, node.job_id, JobStatus.PAUSED, why)
    return False
