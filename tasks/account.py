"""Pause the account when its balance is empty, and resume it when it is topped up."""

from __future__ import annotations

from enum import Enum

import structlog

from core.errors import AccountPaused, OverstoryError
from models import state
from tasks.runtime.services import Services

log = structlog.get_logger()

NO_BALANCE = "no balance"
"""How the reason of jobs begins that their account paused, not a person."""


def pause_account(services: Services, error: AccountPaused) -> None:
    """Stop the account's calls in all processes and mark its jobs as paused. Nothing fails."""
    services.limiter.pause(NO_BALANCE)
    with services.database.write() as connection:
        paused = state.pause_running(connection, services.account, f"{NO_BALANCE}: {error}")
    log.warning("account.paused", jobs=paused, error=str(error))


class Probed(Enum):
    """What came of looking at an account that wanted payment."""

    EMPTY = "empty"
    WAITS = "waits"  # it may have money, and it is not time yet to try
    TRIED = "tried"


def probe_account(services: Services, may_try: bool) -> Probed:
    """Read the balance, and resume calls and jobs unless it is empty.

    Many endpoints report no balance, and a key may have a budget of its own. There a call is the
    only way to find out; ``may_try`` says whether it is time for one.
    """
    try:
        balance = services.provider.balance()
    except OverstoryError as error:
        log.info("account.probe", error=str(error))
        return Probed.WAITS
    is_empty = balance is not None and balance <= 0
    if is_empty or not may_try:
        services.limiter.pause(NO_BALANCE)  # in case Redis has lost it
        with services.database.write() as connection:  # newer jobs wait, too
            state.pause_running(connection, services.account, NO_BALANCE)
        return Probed.EMPTY if is_empty else Probed.WAITS
    services.limiter.resume()
    with services.database.write() as connection:
        resumed = state.resume_paused(connection, services.account, NO_BALANCE)
    log.info("account.resumed", jobs=resumed, balance=balance)
    return Probed.TRIED
