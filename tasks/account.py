"""The account as a whole: pausing it when its balance is gone, and finding out that it is back."""

from __future__ import annotations

import structlog

from core.errors import AccountPaused, OverstoryError
from models import state
from tasks.runtime.services import Services

log = structlog.get_logger()

NO_BALANCE = "no balance"
"""The reason that marks jobs paused by their account, as against by a person."""


def pause_account(services: Services, error: AccountPaused) -> None:
    """Stop the account's calls everywhere and show its jobs as paused; nothing fails."""
    services.limiter.pause(NO_BALANCE)
    with services.database.write() as connection:
        paused = state.pause_running(connection, services.account, NO_BALANCE)
    log.warning("account.paused", jobs=paused, error=str(error))


def probe_account(services: Services) -> bool:
    """Ask for the balance; where there is one again, let calls and jobs go on."""
    try:
        balance = services.provider.balance()
    except OverstoryError as error:
        log.info("account.probe", error=str(error))
        return False
    if balance is not None and balance <= 0:
        services.limiter.pause(NO_BALANCE)  # where Redis has forgotten it
        with services.database.write() as connection:  # jobs that came since wait for it, too
            state.pause_running(connection, services.account, NO_BALANCE)
        return False
    services.limiter.resume()
    with services.database.write() as connection:
        resumed = state.resume_paused(connection, services.account, NO_BALANCE)
    log.info("account.resumed", jobs=resumed)
    return True
