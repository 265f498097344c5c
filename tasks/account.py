"""Pause the account when its balance is empty, and resume it when it is topped up."""

from __future__ import annotations

import structlog

from core.errors import AccountPaused, OverstoryError
from models import state
from tasks.runtime.services import Services

log = structlog.get_logger()

NO_BALANCE = "no balance"
"""The reason of jobs that their account paused, not a person."""


def pause_account(services: Services, error: AccountPaused) -> None:
    """Stop the account's calls in all processes and mark its jobs as paused. Nothing fails."""
    services.limiter.pause(NO_BALANCE)
    with services.database.write() as connection:
        paused = state.pause_running(connection, services.account, NO_BALANCE)
    log.warning("account.paused", jobs=paused, error=str(error))


def probe_account(services: Services) -> bool:
    """Read the balance; if it is positive again, resume calls and jobs. Returns whether it did."""
    try:
        balance = services.provider.balance()
    except OverstoryError as error:
        log.info("account.probe", error=str(error))
        return False
    if balance is not None and balance <= 0:
        services.limiter.pause(NO_BALANCE)  # in case Redis has lost it
        with services.database.write() as connection:  # newer jobs wait, too
            state.pause_running(connection, services.account, NO_BALANCE)
        return False
    services.limiter.resume()
    with services.database.write() as connection:
        resumed = state.resume_paused(connection, services.account, NO_BALANCE)
    log.info("account.resumed", jobs=resumed)
    return True
