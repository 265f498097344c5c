"""A job's budget: whether one more call fits, with any number of calls in flight.

A call counts from before it is sent. In flight it counts with the most it may cost, afterwards with
its actual cost. A lost call may have been paid, so it keeps counting with the most.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from core.catalog.models import Price, cost
from core.reply import Usage

REASON = "budget: "
"""Start of the pause reason of a job that is paused for its budget and not by a user."""


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
class Rest:
    """Calls that a job still needs, and the average cost of its paid calls (0: none yet)."""

    calls: int
    average: float


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


def reason(job_id: str, budget: float, money: Money, most: float, rest: Rest, currency: str) -> str:
    """Why a job is paused for its budget, and the command that resumes it."""
    spent = money.spent + money.held
    wanted = f"{enough(spent, most, rest):.2f}"
    lost = f" ({money.lost:.4f} of it on lost calls, if they were paid)" if money.lost else ""
    calls = "1 call is" if rest.calls == 1 else f"{rest.calls:,} calls are"
    return (
        f"{REASON}{spent:.4f} of {plain(budget)} {currency} is spent{lost}; {calls} left, and the"
        f" next may cost up to {most:.4f}. A budget of about {wanted} {currency} should be enough:"
        f" overstory resume {job_id} --budget {wanted}"
    )


def plain(money: float) -> str:
    """``2.00``, ``0.0005``: two decimals, or four if two would hide something."""
    return f"{money:.2f}" if round(money, 2) == round(money, 4) else f"{money:.4f}"


def enough(spent: float, most: float, rest: Rest) -> float:
    """A budget that is probably enough to finish a job, rounded up to a cent. The last call also
    needs room for the most it may cost."""
    wanted = spent + max(rest.calls - 1, 0) * (rest.average or most) * 1.1 + most
    return math.ceil(round(wanted * 100, 6)) / 100


def is_spent(status: str, why: str | None) -> bool:
    """Whether a job is paused for its budget."""
    return status == "paused" and (why or "").startswith(REASON)
