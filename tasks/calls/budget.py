"""The money of a job with a budget: counted before a call is written, in the claim's transaction.

That transaction has updated the job's row (models.claims), so on PostgreSQL the calls of one job
are counted one after the other; on SQLite every writer waits for its turn anyhow.
"""

from __future__ import annotations

from core.account.budget import Room, most_cost, reason, room_for
from core.catalog.prices import EXAMPLE
from core.errors import WrongUsage
from core.requests.request import Body, reserve
from core.settings import Settings
from core.states import JobStatus
from models import ledger, state
from models.claims import Lease, NodeWork
from models.engine import Connection
from models.ledger import NewCall
from tasks.calls.node_request import Asked
from tasks.runtime.services import Services


def check_budget(settings: Settings, model: str, budget: float | None) -> None:
    """Raises WrongUsage where a budget is asked for and nobody has said what ``model`` costs."""
    if budget is not None and settings.find_price(model) is None:
        raise WrongUsage(
            f"budget: no price of {model} is known, so nothing could be counted: set"
            f" OVERSTORY_PRICES to a JSON file or JSON with its price per million tokens, such as"
            f" {EXAMPLE.replace('MODEL', model)}"
        )


def most_of(services: Services, model: str, body: Body, image_tokens: int) -> float:
    """The most that a call with ``body`` may cost."""
    wanted = int(body["max_tokens"])
    prompt = reserve(body, image_tokens) - wanted
    return most_cost(services.settings.price_of(model), prompt, wanted)


def must_wait(services: Services, asked: Asked) -> bool:
    """Whether a node waits for calls of its job that are in flight: what is left of the budget is
    held by them. A look before the account is asked; ``affords`` decides."""
    node = asked.node
    budget = node.options.get("budget")  # as it was a moment ago
    if budget is None:
        return False
    with services.database.read() as connection:
        money = ledger.money(connection, node.job_id)
    body = asked.question.body(asked.variant)
    image_tokens = asked.question.image_tokens(asked.variant)
    most = most_of(services, node.model, body, image_tokens)
    return room_for(budget, money, most) == Room.LATER


def affords(connection: Connection, node: NodeWork, call: NewCall, lease: Lease) -> bool:
    """Whether the job can pay for ``call``. Where not, its node, just claimed, is ready again, and
    a job that has no room even when all in flight has come back is paused."""
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
