"""Access tokens of the HTTP API: their names, their secrets and the budgets that they may have."""

from __future__ import annotations

import hashlib
import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from enum import StrEnum

from core.errors import WrongUsage

LOCAL = "local"
"""The owner of what came without a token. No token has this name."""
PREFIX = "ovs_"
"""Every secret of the API begins so: scanners for secrets and our own logs know it by that."""
SECRET_BYTES = 32
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


_SECRET = re.compile(rf"\b{PREFIX}[A-Za-z0-9_-]{{43}}")


def without_secrets(text: str) -> str:
    """``text`` without secrets of the API, for logs and displays."""
    return _SECRET.sub(f"{PREFIX}•••", text) if PREFIX in text else text


class BudgetPeriod(StrEnum):
    """How long a token's budget lasts, by UTC."""

    DAY = "day"
    MONTH = "month"


@dataclass(frozen=True, slots=True)
class TokenBudget:
    """The most that the jobs of a token may cost in each ``period``."""

    amount: float
    period: BudgetPeriod

    def __str__(self) -> str:
        return f"{self.amount:g}/{self.period}"


def check_name(name: str) -> str:
    """``name``, if a token may have it. Raises WrongUsage."""
    if not NAME.fullmatch(name):
        raise WrongUsage(
            f"NAME {name!r}: give at most 40 small letters, digits and hyphens, such as 'lab-2'; it"
            " begins with a letter or a digit"
        )
    if name == LOCAL:
        raise WrongUsage(f"NAME {LOCAL!r} means jobs without a token: give another name")
    return name


def parse_budget(text: str) -> TokenBudget:
    """The budget that ``20/month`` or ``5/day`` means. Raises WrongUsage."""
    amount, _, period = text.partition("/")
    try:
        budget = TokenBudget(float(amount), BudgetPeriod(period))
    except ValueError:
        budget = TokenBudget(0.0, BudgetPeriod.MONTH)
    if not 0 < budget.amount <= 1e9:
        raise WrongUsage(f"budget {text!r}: give an amount and a period, as 20/month or 5/day")
    return budget


def secret_of(random: bytes) -> str:
    """The text of a secret of SECRET_BYTES random bytes."""
    return PREFIX + urlsafe_b64encode(random).decode("ascii").rstrip("=")


def hashed(secret: str) -> str:
    """What is kept of a secret. A slow hash makes guesses dear where people choose passwords; 256
    random bits cannot be guessed, so a fast one, which every request can pay, is enough."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()
