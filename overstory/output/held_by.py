"""Texts that say what makes calls wait: a limit, the account, the provider or its file store."""

from __future__ import annotations

from collections.abc import Mapping

from clients.limiter.limiter import AccountState, Hold
from core.errors import LimitKind, ServiceAway
from tasks.runtime.services import Services
from tasks.upload import STORE_FULL, STORE_REFUSES

BINDS: dict[LimitKind | Hold, str] = {
    LimitKind.CONCURRENCY: "the limit of calls in flight",
    LimitKind.RPM: "the limit of requests a minute",
    LimitKind.TPM: "the limit of tokens a minute",
    LimitKind.UNKNOWN: "a limit of the account",
    Hold.PAUSED: "the account is paused",
    Hold.COOLING: "a short pause after a 429 reply",
    Hold.REFUSED: "the provider, which refuses every request; one is tried now and then",
}


AUTO_WHY = {
    "grows": "grows while throughput grows",
    "throughput": "more would not raise throughput; tried again now and then",
    "shrinks": "fewer give the same throughput",
    "429": "the endpoint answered 429 above it; more are tried now and then",
    "failed": "calls failed above it (5xx, timeouts); more are tried now and then",
}
"""Of a limit of calls in flight that finds itself: what decided last."""


def auto_line(state: AccountState | None) -> str:
    """``auto: 37 in flight now, ...``; empty if the limits are set."""
    if state is None or state.auto is None:
        return ""
    auto = state.auto
    tried = f", {auto.trial} tried now" if auto.trial != auto.level else ""
    at_most = "the most that it may" if auto.level == auto.most else AUTO_WHY[auto.why]
    return f"auto: {auto.level} in flight now{tried}: {at_most}"


def account_state(services: Services) -> AccountState | None:
    """The account's current usage; None if the limiter does not answer."""
    try:
        return services.limiter.state()
    except ServiceAway:
        return None


def held_by(state: AccountState | None) -> str:
    """``held by: the limit of requests a minute``; empty if calls need not wait."""
    if state is None:
        return ""
    if state.paused:
        return f"held by: the account is paused ({state.paused})"
    if state.binds is LimitKind.CONCURRENCY and state.auto is not None:
        return f"held by: {BINDS[state.binds]} ({auto_line(state)})"
    return "" if state.binds is None else f"held by: {BINDS[state.binds]}"


def comparing(images: Mapping[str, int]) -> str:
    """Where a job stands that compares its images before it uploads any."""
    return "preparing images to compare them" if images.get("pending") else "comparing images"


def held_by_store(upload_waits: str | None) -> str:
    """Why images wait for the provider's file store, and what helps; empty if they do not."""
    if upload_waits == STORE_REFUSES:
        return (
            "held by: the file store, full of files that our jobs do not use ('overstory files gc'"
            " helps, or OVERSTORY_INLINE_WHEN_FULL=true)"
        )
    if upload_waits != STORE_FULL:
        return ""
    return (
        "held by: the file store, full of images in use (OVERSTORY_INLINE_WHEN_FULL=true sends"
        " images without it)"
    )
