"""What the sandbox has billed, and jobs that cannot spend more."""

from __future__ import annotations

from core.account.budget import is_spent
from core.catalog.models import Price, cost
from models.reads import pipeline
from overstory.sandbox.process import SandboxProcess
from tests.support.account import Account

PRICE = Price("USD", 0.20, 0.04, 1.15)
DEAR = 8_000
"""Reasoning so long that a call costs nearly as much as was reserved for it."""


def bill(sandbox: SandboxProcess) -> float:
    """Cost of all that the sandbox generated, paid or cut off, by its ledger and prices."""
    lines = [x for x in sandbox.ledger() if x["event"] == "reply" and x["status"] in (200, 499)]
    return sum(
        cost(PRICE, x["prompt_tokens"], x["cached_tokens"], x["completion_tokens"]) for x in lines
    )


def stands(account: Account, job: str) -> bool:
    row = account.job(job)
    with account.services.database.read() as connection:
        busy = pipeline.at_work(connection, job)
    return (is_spent(row.status, row.reason) and not busy) or row.status.ended
