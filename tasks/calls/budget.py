"""Budgets of jobs, accounts, tokens and watched folders: checked before a call is written, where
its node is claimed.

Where there is no room for all that a reply may write, the call is sent with as many tokens as
earlier replies have shown to be enough, and only they are held back. A reply that is cut short by
this is asked again with all of its tokens, once the budget has room for them.

That transaction has updated the job's row (models.claims). So on PostgreSQL the calls of one job
are counted one after the other; on SQLite every writer waits for its turn anyway. What an account
spends in a day or a month is counted under a lock of its own, and so is what the jobs of a token
or of a watched folder spend.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from core.account.budget import (
    PERIOD_REASONS,
    Money,
    NextCall,
    PeriodBudget,
    Room,
    Watch,
    account_budgets,
    budget_of_token,
    budget_of_watch,
    most_cost,
    reason,
    room_for,
    watch_of,
)
from core.account.estimate import calls_ahead
from core.account.habit import enough_tokens
from core.answers.spec import values_of
from core.catalog.prices import EXAMPLE
from core.errors import WrongUsage
from core.job_options import JobOptions
from core.settings import SANDBOX, Settings
from core.states import JobStatus, NodeKind
from models import ledger, repair, state, tokens
from models.claims import Lease, NodeWork
from models.engine import Connection
from models.ledger import NewCall
from models.reads import inspect, pipeline
from tasks.calls.ahead import parts_ahead
from tasks.calls.node_request import AnyCall
from tasks.runtime.services import Services


def check_budget(settings: Settings, budget: float | None, *models: str | None) -> None:
    """Raises WrongUsage for a budget if no price of one of the ``models`` is known."""
    unknown = (model for model in models if model and settings.find_price(model) is None)
    if budget is not None and (model := next(unknown, None)) is not None:
        raise WrongUsage(
            f"budget: no price of {model} is known, so nothing could be counted: set"
            f" OVERSTORY_PRICES to a JSON file or JSON with its price per million tokens, such as"
            f" {EXAMPLE.replace('MODEL', model)}"
        )


def check_token(services: Services, owner: str | None, *models: str | None) -> None:
    """Raises WrongUsage if the token ``owner`` has a budget and no price of one of the ``models``
    is known: what its jobs cost could not be counted."""
    if owner is None or services.settings.endpoint == SANDBOX:
        return
    with services.database.read() as connection:
        token = tokens.token(connection, owner)
    check_budget(services.settings, token.budget if token else None, *models)


def most_of(settings: Settings, call: AnyCall) -> float:
    """The most that a call may cost."""
    return _cost(settings, call, call.max_tokens)


def must_wait(services: Services, call: AnyCall) -> bool:
    """Whether a call must wait because calls in flight hold what is left of its budgets.

    This is checked before the account is asked; ``affords`` decides.
    """
    settings, options = services.settings, call.node.options  # as they were a moment ago
    if (options.budget, options.watch) == (None, None) and not _may_have_period(
        settings, call.node
    ):
        return False
    with services.database.read() as connection:
        max_tokens = call.max_tokens
        for amount, money in _own(services, connection, call.node, options):
            room, fitting = _fitting(connection, settings, call, amount, money)
            if room == Room.LATER:
                return True
            max_tokens = min(max_tokens, fitting)
        most = _cost(settings, call, max_tokens)
        room, _ = _period_room(services, connection, call.node, most)
        return room == Room.LATER


def _own(
    services: Services, connection: Connection, node: NodeWork, options: JobOptions
) -> Iterator[tuple[float, Money]]:
    """The amounts of the job's own budget and of its watch's, and what each has spent."""
    if options.budget is not None:
        yield options.budget, ledger.money(connection, node.job_id)
    if watch := watch_of(options):
        budget = budget_of_watch(repair.moment(connection), watch)
        currency = services.settings.price_of(node.model).currency
        yield budget.amount, ledger.owner_money(connection, watch.name, currency, budget.since)


def affords(
    services: Services, connection: Connection, call: AnyCall, new: NewCall, lease: Lease
) -> NewCall | None:
    """``new`` as its job, its watch, its account and its token can pay for it now: with fewer
    tokens, if the budget of job or watch has no room for all. If it cannot be paid, its node, just
    claimed, is ready again; and a job that could not pay even after all calls in flight have
    returned is paused."""
    options = ledger.options_of(connection, call.node.job_id)
    new, room, why = _job_room(services, connection, call, new, options.budget)
    if room == Room.FITS and (watch := watch_of(options)) is not None:
        new, room, why = _watch_room(services, connection, call, new, watch)
    if room == Room.FITS:
        room, why = _period_room(services, connection, call.node, new.reserved_cost, alone=True)
    if room == Room.FITS:
        return new
    state.node_postponed(connection, call.node.id, lease.token, 0.0, None, False)
    if room == Room.NONE:
        state.job_moved(connection, call.node.job_id, JobStatus.PAUSED, why)
    return None


def _job_room(
    services: Services,
    connection: Connection,
    call: AnyCall,
    new: NewCall,
    budget: float | None,
) -> tuple[NewCall, Room, str]:
    """Whether the job's budget has room for a call, the call as it may be sent, and why it must be
    paused if there is none."""
    node, settings = call.node, services.settings
    if budget is None:
        return new, Room.FITS, ""
    money = ledger.money(connection, node.job_id)
    room, max_tokens = _fitting(connection, settings, call, budget, money)
    new = _within(settings, call, new, max_tokens)
    why = ""
    if room == Room.NONE:
        rest = _rest(services, connection, node)
        why = reason(node.job_id, budget, money, new.reserved_cost, rest, new.currency)
    return new, room, why


def _watch_room(
    services: Services, connection: Connection, call: AnyCall, new: NewCall, watch: Watch
) -> tuple[NewCall, Room, str]:
    """The same for the budget of the watched folder that the job is about. Other processes may
    watch it too, so its money is counted under a lock, which all code takes before the account's.
    """
    ledger.lock_money(connection, watch.name)
    budget = budget_of_watch(repair.moment(connection), watch)
    money = ledger.owner_money(connection, watch.name, new.currency, budget.since)
    if room_for(budget.amount, money, new.reserved_cost) == Room.FITS:
        return new, Room.FITS, ""
    room, fitting = _fitting(connection, services.settings, call, budget.amount, money)
    max_tokens = min(fitting, new.max_tokens or call.max_tokens)
    new = _within(services.settings, call, new, max_tokens)
    return new, room, budget.why(money, new.reserved_cost, new.currency)


def _within(settings: Settings, call: AnyCall, new: NewCall, max_tokens: int) -> NewCall:
    """``new`` with a reply of at most ``max_tokens``, and what it may then cost."""
    limit = max_tokens if max_tokens < call.max_tokens else None
    return replace(new, reserved_cost=_cost(settings, call, max_tokens), max_tokens=limit)


def _may_have_period(settings: Settings, node: NodeWork) -> bool:
    """Whether calls for a node may count in a budget of the account or of a token. The sandbox
    costs nothing."""
    some = (settings.budget_day, settings.budget_month, node.owner) != (None, None, None)
    return some and node.endpoint != SANDBOX


def _period_room(
    services: Services, connection: Connection, node: NodeWork, most: float, alone: bool = False
) -> tuple[Room, str]:
    """Whether the budgets of a day or a month have room for a call that may cost ``most``, and why
    not. ``alone``: no other transaction may count the same money until this one ends."""
    if not _may_have_period(services.settings, node):
        return Room.FITS, ""
    currency = services.settings.price_of(node.model).currency
    later = False
    for budget, money in _counted(services, connection, node, currency, alone):
        room = room_for(budget.amount, money, most)
        if room == Room.NONE:
            return room, budget.why(money, most, currency)
        later |= room == Room.LATER
    return (Room.LATER if later else Room.FITS), ""


def _counted(
    services: Services, connection: Connection, node: NodeWork, currency: str, alone: bool
) -> Iterator[tuple[PeriodBudget, Money]]:
    """The budgets that calls for a node count in, and what they have spent. All code locks the
    account first, then the token."""
    at = repair.moment(connection)
    budgets = current_budgets(services.settings, at)
    if budgets and alone:
        ledger.lock_money(connection, services.account)
    for budget in budgets:
        money = ledger.account_money(connection, services.account, currency, budget.since)
        yield budget, money
    owner = tokens.token(connection, node.owner) if node.owner else None
    if owner is None or owner.token_budget is None:
        return
    if alone:
        ledger.lock_money(connection, f"token {owner.name}")
    budget = budget_of_token(at, owner.name, owner.token_budget)
    yield budget, ledger.owner_money(connection, owner.name, currency, budget.since)


def current_budgets(settings: Settings, at: float) -> list[PeriodBudget]:
    """The account's budgets of the day and the month of the Unix time ``at``."""
    return account_budgets(at, settings.budget_day, settings.budget_month)


def resume_jobs(services: Services) -> int:
    """Resume jobs that were paused for a budget of the account, of a token or of a watched folder
    whose day or month is over, or that was changed since. Returns their number."""
    with services.database.read() as connection:
        paused = state.paused_for(connection, services.account, PERIOD_REASONS)
        if not paused:
            return 0
        at = repair.moment(connection)
        budgets = current_budgets(services.settings, at)
        for token in tokens.tokens(connection):
            if token.token_budget is not None:
                budgets.append(budget_of_token(at, token.name, token.token_budget))
        for job in paused:
            if watch := watch_of(ledger.options_of(connection, job)):
                budgets.append(budget_of_watch(at, watch))
    current = tuple(budget.reason for budget in budgets)
    due = [job for job, reason in paused.items() if not reason.startswith(current)]
    if not due:
        return 0
    with services.database.write() as connection:
        return sum(state.job_moved(connection, job, JobStatus.RUNNING) for job in due)


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
    values = values_of(node.options)
    return enough_tokens(replies, NodeKind(node.kind), images, call.max_tokens, values)


def _cost(settings: Settings, call: AnyCall, max_tokens: int) -> float:
    """The most that a call may cost whose reply has at most ``max_tokens``."""
    prompt = call.prompt_tokens + call.images_above
    return most_cost(settings.price_of(call.node.model), prompt, max_tokens)


def _rest(services: Services, connection: Connection, node: NodeWork) -> Sequence[NextCall]:
    """The calls of a node's job that are not paid yet; of a second look, those that it may take."""
    job = pipeline.job(connection, node.job_id)
    assert job is not None, "a node has a job"
    return [
        call
        for part in parts_ahead(services.settings, connection, job)
        for call in calls_ahead(
            part.nodes,
            part.context,
            inspect.replies_like(connection, job.id, part.model, job.endpoint),
            part.price,
        )
    ]
