"""Account limits: the tiers of both published tables.

Source: fact sheet section 5. Table A is older (.com, June 2026), table B is the newest (.ai, from
September 2026). ``V0`` is looked up in the newest table that has it; ``a:V0`` names the table.
The provider may change limits at any time, so the tier is a setting.
"""

from __future__ import annotations

from dataclasses import dataclass

from core.errors import WrongUsage


@dataclass(frozen=True, slots=True)
class AccountLimits:
    """Limits of one account: calls in flight; requests and tokens in any rolling 60 s."""

    concurrency: int
    rpm: int
    tpm: int


AUTO = "auto"
"""The tier of an endpoint without published limits (core.account.auto_limit)."""
AUTO_START = 4
"""Calls in flight at first: what a small server of one's own serves at once."""
AUTO_MOST = 200
"""Calls in flight at most, unless a setting names another number: what one worker process does
without getting slower, and more than an unknown server should get without a word of its owner."""
NO_LIMIT = 10**9
"""Requests or tokens in a window where no limit is known."""


TABLE_A = {
    "V0": AccountLimits(5, 10, 5_000_000),
    "V1": AccountLimits(100, 1_000, 20_000_000),
    "V2": AccountLimits(200, 5_000, 30_000_000),
    "V3": AccountLimits(400, 10_000, 40_000_000),
    "V4": AccountLimits(1_000, 20_000, 50_000_000),
    "V5": AccountLimits(10_000, 200_000, 100_000_000),
}
TABLE_B = {
    "V0": AccountLimits(5, 100, 500_000),
    "V1": AccountLimits(20, 400, 2_000_000),
    "V2": AccountLimits(30, 600, 3_000_000),
    "V3": AccountLimits(40, 800, 4_000_000),
    "V4": AccountLimits(130, 2_600, 13_000_000),
}
TABLES = {"a": TABLE_A, "b": TABLE_B}
NEWEST_FIRST = (TABLE_B, TABLE_A)


def shown(limit: int) -> str:
    """A limit for people: a dash if none is known."""
    return "-" if limit >= NO_LIMIT else f"{limit:,}"


def a_minute(limits: AccountLimits) -> str:
    """``600 requests and 3,000,000 tokens a minute``; ``any number of`` what has no known limit."""
    if min(limits.rpm, limits.tpm) >= NO_LIMIT:
        return "no known limit a minute"
    requests, tokens = (
        f"any number of {name}" if limit >= NO_LIMIT else f"{limit:,} {name}"
        for limit, name in ((limits.rpm, "requests"), (limits.tpm, "tokens"))
    )
    return f"{requests} and {tokens} a minute"


def limits_of(
    name: str, concurrency: int | None, rpm: int | None, tpm: int | None
) -> AccountLimits:
    """The limits of a tier, or of ``auto``, each overridden by its own number."""
    base = AccountLimits(AUTO_MOST, NO_LIMIT, NO_LIMIT) if name == AUTO else tier(name)
    return AccountLimits(concurrency or base.concurrency, rpm or base.rpm, tpm or base.tpm)


def tier(name: str) -> AccountLimits:
    """The limits of a tier such as ``V0``, ``b:V0`` or ``a:V5``.

    Raises WrongUsage for an unknown name.
    """
    table, _, level = name.rpartition(":")
    tables = (TABLES[table.lower()],) if table.lower() in TABLES else NEWEST_FIRST
    for candidate in tables if not table or table.lower() in TABLES else ():
        if level.upper() in candidate:
            return candidate[level.upper()]
    known = ", ".join(f"{key}:{level}" for key, levels in TABLES.items() for level in levels)
    raise WrongUsage(f"unknown tier {name!r}: use a name like V0 (newest table) or one of {known}")
