"""The budgets of jobs, accounts, tokens and watched folders: whether one more call fits, with any
number in flight.

A call counts from before it is sent. In flight it counts with the most it may cost, afterwards with
its actual cost. A lost call may have been paid, so it keeps counting with the most.

Where the budget has no room for all that a reply may write, the reply is allowed only what earlier
ones have shown to be enough (core.account.habit.enough_tokens). It cannot cost more than that, so
the budget holds even if it is cut short.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from core.access import BudgetPeriod, TokenBudget, parse_budget
from core.catalog.models import Price, cost
from core.job_options import JobOptions
from core.reply import Usage

REASON = "budget: "
"""Start of the pause reason of a job that is paused for its budget and not by a user."""
ACCOUNT_REASON = "account budget: "
"""The same of a job that is paused for the budget of its account."""
TOKEN_REASON = "token budget: "  # noqa: S105 - not a password
"""The same of a job that is paused for the budget of the token that submitted it."""
WATCH_REASON = "watch budget: "
"""The same of a job that is paused for the budget of the watched folder that it is about."""
PERIOD_REASONS = (ACCOUNT_REASON, TOKEN_REASON, WATCH_REASON)


class Room(StrEnum):
    """Whether a budget allows one more call."""

    FITS = "fits"
    LATER = "later"  # not yet: calls in flight hold money that they will probably release
    NONE = "none"  # not even if all calls in flight cost nothing


@dataclass(frozen=True, slots=True)
class Money:
    """Of one job: money spent, money held by calls in flight, and the part of ``spent`` for lost
    calls, which may have been paid."""

    spent: float
    held: float
    lost: float = 0.0


@dataclass(frozen=True, slots=True)
class NextCall:
    """A call that a job still has to make, in the order of sending. ``images``: those that it
    shows. ``likely``: its expected cost. ``held``: what a budget must have left to send it."""

    images: int
    likely: float
    held: float


MARGIN = 1.15
"""Expected costs are this much off in a bad case: replies about few images are a tenth shorter or
longer an image than those about many, and some images are asked about again."""


def room_for(budget: float, money: Money, most: float) -> Room:
    """Whether a call that may cost ``most`` may be sent now."""
    if money.spent + money.held + most <= budget:
        return Room.FITS
    if money.held > 0 and money.spent + most <= budget:
        return Room.LATER
    return Room.NONE


def spent_on(price: Price, usage: Usage | None) -> float:
    """The cost of a call with ``usage``; 0 for one that was not paid."""
    if usage is None:
        return 0.0
    return cost(price, usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens)


def most_cost(price: Price, prompt_tokens: int, max_tokens: int) -> float:
    """The most a call may cost: no cached tokens, and all of max_tokens written."""
    return cost(price, prompt_tokens, 0, max_tokens)


def reason(
    job_id: str, budget: float, money: Money, most: float, rest: Sequence[NextCall], currency: str
) -> str:
    """Why a job is paused for its budget, and the command that resumes it. ``most``: what the next
    call may cost; ``rest``: the calls that are not paid yet, those in flight included."""
    lost = f" ({money.lost:.4f} of it on lost calls, if they were paid)" if money.lost else ""
    held = f", {money.held:.4f} is held for calls in flight" if money.held else ""
    calls = "1 call is" if len(rest) == 1 else f"{len(rest):,} calls are"
    wanted = plain(enough(money.spent, rest, most))
    return (
        f"{REASON}{money.spent:.4f} of {plain(budget)} {currency} is spent{lost}{held}; {calls}"
        f" left, and the next may cost up to {most:.4f}. A budget of about {wanted} {currency}"
        f" should be enough: overstory resume {job_id} --budget {wanted}"
    )


def advised(why: str) -> tuple[str, float | None]:
    """A reason of these without its command, for people who have a button instead, and the budget
    that it names, if it names one."""
    text, command, wanted = why.partition(": overstory resume ")
    return (f"{text}.", float(wanted.rpartition(" ")[2])) if command else (why, None)


def plain(money: float) -> str:
    """``2.00``, ``0.0005``: two decimals, or four if two would hide something."""
    return f"{money:.2f}" if round(money, 2) == round(money, 4) else f"{money:.4f}"


def enough(spent: float, rest: Sequence[NextCall], first: float = 0.0) -> float:
    """The smallest budget that probably lets a job finish, rounded up in its third digit. Each call
    needs more room than it will cost, ``first`` the next one."""
    wanted = spent + first
    for call in rest:
        wanted = max(wanted, spent + call.held)
        spent += call.likely * MARGIN
    return rounded_up(max(wanted, spent))


def reached(budget: float, rest: Sequence[NextCall]) -> int:
    """How many of the ``rest`` of a job's calls, one after the other, a budget probably lets be
    sent."""
    spent = 0.0
    for number, call in enumerate(rest):
        if spent + call.held > budget:
            return number
        spent += call.likely
    return len(rest)


def rounded_up(money: float) -> float:
    """``money`` with three digits, but at least two and at most four decimals."""
    if money <= 0:
        return 0.0
    decimals = min(max(2 - math.floor(math.log10(money)), 2), 4)
    return float(math.ceil(round(money * 10**decimals, 6)) / 10**decimals)


def is_spent(status: str, why: str | None) -> bool:
    """Whether a job is paused for its budget, or for that of its account, token or watch."""
    return status == "paused" and (why or "").startswith((REASON, *PERIOD_REASONS))


@dataclass(frozen=True, slots=True)
class PeriodBudget:
    """The most that all calls of an account, of a token's jobs or of a watched folder's jobs may
    cost that are sent in a day or a month (UTC). ``since``, ``until``: Unix times."""

    setting: str  # or the token's name, or watch-folder
    amount: float
    period: str  # 2026-11-29, or 2026-11
    since: float
    until: float
    kind: str  # one of PERIOD_REASONS
    larger: str  # what makes it larger

    @property
    def reason(self) -> str:
        """Start of the pause reason of jobs. With another period or amount, they go on."""
        return f"{self.kind}{plain(self.amount)} for {self.period} (UTC, {self.setting}): "

    def why(self, money: Money, most: float, currency: str) -> str:
        """Why a job is paused, and when it goes on."""
        end = datetime.fromtimestamp(self.until, UTC)
        return (
            f"{self.reason}{money.spent:.4f} {currency} is spent, and the next call may cost up to"
            f" {most:.4f}. It goes on after {end:%Y-%m-%d %H:%M} UTC, or with a larger"
            f" {self.larger}"
        )


def account_budgets(at: float, day: float | None, month: float | None) -> list[PeriodBudget]:
    """The budgets of an account at the Unix time ``at``: of its day and its month, where set."""
    periods = [
        ("OVERSTORY_BUDGET_DAY", day, BudgetPeriod.DAY),
        ("OVERSTORY_BUDGET_MONTH", month, BudgetPeriod.MONTH),
    ]
    return [
        _period_budget(at, setting, amount, period, ACCOUNT_REASON, setting)
        for setting, amount, period in periods
        if amount is not None
    ]


def budget_of_token(at: float, name: str, budget: TokenBudget) -> PeriodBudget:
    """The budget of the token ``name`` at the Unix time ``at``."""
    larger = f"one: overstory token budget {name} AMOUNT/{budget.period}"
    return _period_budget(at, name, budget.amount, budget.period, TOKEN_REASON, larger)


@dataclass(frozen=True, slots=True)
class Watch:
    """A watched folder with one question. ``name``: the owner of its calls, which no token is
    called. ``budget``: the most that its jobs may cost in each period."""

    name: str
    budget: TokenBudget


def watch_of(options: JobOptions) -> Watch | None:
    """The watch whose budget counts a job's calls."""
    if options.watch is None or options.watch_budget is None:
        return None
    return Watch(options.watch, parse_budget(options.watch_budget))


def budget_of_watch(at: float, watch: Watch) -> PeriodBudget:
    """The budget of a watched folder at the Unix time ``at``."""
    amount, period = watch.budget.amount, watch.budget.period
    return _period_budget(at, "watch-folder", amount, period, WATCH_REASON, "--budget")


def _period_budget(
    at: float, setting: str, amount: float, period: BudgetPeriod, kind: str, larger: str
) -> PeriodBudget:
    today = datetime.fromtimestamp(at, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if period == BudgetPeriod.DAY:
        since, until, name = today, today + timedelta(days=1), f"{today:%Y-%m-%d}"
    else:
        since = today.replace(day=1)
        until, name = (since + timedelta(days=31)).replace(day=1), f"{since:%Y-%m}"
    return PeriodBudget(setting, amount, name, since.timestamp(), until.timestamp(), kind, larger)
