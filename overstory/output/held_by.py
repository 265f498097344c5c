"""What the account's limiter holds calls back with, in words for a person."""

from __future__ import annotations

from clients.limiter.limiter import AccountState, Hold
from core.errors import LimitKind, ServiceAway
from tasks.runtime.services import Services
from tasks.upload import STORE_FULL, STORE_REFUSES

BINDS: dict[LimitKind | Hold, str] = {
    LimitKind.CONCURRENCY: "calls in flight, all the account may have",
    LimitKind.RPM: "requests a minute",
    LimitKind.TPM: "tokens a minute",
    LimitKind.UNKNOWN: "a limit of the account",
    Hold.PAUSED: "the account is paused",
    Hold.COOLING: "a 429 a moment ago",
    Hold.REFUSED: "the provider refuses everything; it is asked again now and then",
}


def account_state(services: Services) -> AccountState | None:
    """What the account uses now; None where no limiter answers."""
    try:
        return services.limiter.state()
    except ServiceAway:
        return None


def held_by(state: AccountState | None) -> str:
    """``held by: requests a minute``; empty where the account holds nothing back."""
    if state is None:
        return ""
    if state.paused:
        return f"held by: the account is paused ({state.paused})"
    return "" if state.binds is None else f"held by: {BINDS[state.binds]}"


def held_by_store(upload_waits: str | None) -> str:
    """Where images wait for a place in the provider's file store, and what to do about it."""
    if upload_waits == STORE_REFUSES:
        return (
            "held by: the file store, full of more than our jobs' files (overstory files gc);"
            " OVERSTORY_INLINE_WHEN_FULL=true goes past it"
        )
    if upload_waits != STORE_FULL:
        return ""
    return (
        "held by: the file store, full of images that are asked about now;"
        " OVERSTORY_INLINE_WHEN_FULL=true goes past it"
    )
