"""A job's budget: whether one more call fits, however many are in flight.

A call is counted from before it is sent: with the most it may cost while it is in flight, with
what it did cost afterwards. Lost calls may have been paid, so they stay counted with the most.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from core.catalog.models import Price, cost

REASON = "budget: "
"""How the reason begins of a job that is paused for its budget, as against by a person."""


class Room(StrEnum):
    """What a budget says to one more call."""

    FITS = "fits"
    LATER = "later"  # calls in flight hold money that they will most likely give back
    NONE = "none"  # even if every call in flight cost nothing


@dataclass(frozen=True, slots=True)
class Money:
    """Of one job: what is spent for good, what calls in flight hold, and how much of what is spent
    is for calls that were lost and may have been paid."""

    spent: float
    held: float
    lost: float = 0.0


@dataclass(frozen=True, slots=True)
class Rest:
    """What a job still has to ask, and what its paid calls cost on average (0: there is none)."""

    calls: int
    average: float


def room_for(budget: float, money: Money, most: float) -> Room:
    """Whether a call that may cost ``most`` can go now."""
    if money.spent + money.held + most <= budget:
        return Room.FITS
    if money.held > 0 and money.spent + most <= budget:
        return Room.LATER
    return Room.NONE


def most_cost(price: Price, prompt_tokens: int, max_tokens: int) -> float:
    """The most a call may cost: nothing from the cache, and all of max_tokens written."""
    return cost(price, prompt_tokens, 0, max_tokens)


def reason(job_id: str, budget: float, money: Money, most: float, rest: Rest, currency: str) -> str:
    """Why a job is paused for its budget, and how it goes on."""
    spent = money.spent + money.held
    wanted = f"{enough(spent, most, rest):.2f}"
    lost = f" ({money.lost:.4f} of it on lost calls, if they were paid)" if money.lost else ""
    calls = "1 call is" if rest.calls == 1 else f"{rest.calls:,} calls are"
    return (
        f"{REASON}{spent:.4f} of {plain(budget)} {currency} is spent{lost}; {calls} left, the next"
        f" of which may cost up to {most:.4f}. About {wanted} {currency} in all would do:"
        f" overstory resume {job_id} --budget {wanted}"
    )


def plain(money: float) -> str:
    """``2.00``, ``0.0005``: cents, and more where it takes more."""
    return f"{money:.2f}" if round(money, 2) == round(money, 4) else f"{money:.4f}"


def enough(spent: float, most: float, rest: Rest) -> float:
    """A budget that most likely sees a job through, rounded up to a cent: the last call, too,
    needs room for the most it may cost."""
    wanted = spent + max(rest.calls - 1, 0) * (rest.average or most) * 1.1 + most
    return math.ceil(round(wanted * 100, 6)) / 100


def is_spent(status: str, why: str | None) -> bool:
    """Whether a job stands still for its budget."""
    return status == "paused" and (why or "").startswith(REASON)
