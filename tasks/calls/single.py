"""A paid call that belongs to no job: admitted, on the ledger and settled like any other.

It is sent at most once. Its caller waits for the reply, and gets the error if there is none.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass

from clients.limiter.limiter import Admitted
from core.account.budget import most_cost, spent_on
from core.errors import (
    KeyRefused,
    LimitKind,
    OverstoryError,
    ProviderDown,
    ReplyUnusable,
    RequestRefused,
    SlowDown,
)
from core.reply import Reply
from core.requests.prompt_parts import PromptParts
from core.requests.request import Body, Inline, key_of, with_usage
from core.states import CallStatus
from models import ledger
from models.claims import Lease
from models.ledger import NewCall
from tasks.calls.admission import acquire
from tasks.calls.failures import total
from tasks.calls.send import end
from tasks.runtime.services import Services

WAIT_SECONDS = 30.0
"""How long it waits for room in the account's limits."""


@dataclass(frozen=True, slots=True)
class SingleCall:
    """``prompt_tokens``: at most; ``completion_tokens``: about; ``max_tokens``: what the reply may
    have. ``inline``: the images of ``body`` by their URLs there; ``parts``: what its prompt holds.
    """

    body: Body
    inline: Mapping[str, Inline]
    parts: PromptParts | None
    prompt_tokens: int
    completion_tokens: int
    max_tokens: int


@dataclass(frozen=True, slots=True)
class SingleReply:
    """``seconds``: how long the provider took; ``cost``: in the currency of the account."""

    reply: Reply
    seconds: float
    cost: float


def ask(
    services: Services, call: SingleCall, timeout_seconds: float, is_limited: bool = True
) -> SingleReply:
    """Send ``call`` and return its reply.

    ``is_limited``: other processes may use the account, so its limits are asked. Raises what
    ``Provider.chat`` raises, and SlowDown if the account has no room for WAIT_SECONDS.
    """
    lease = services.new_lease()
    if is_limited:
        _wait_for_room(services, lease, call.prompt_tokens + call.completion_tokens)
    with services.leases.hold(lease.token, call=is_limited):
        call_id = _open(services, call, lease)
        sent_at = time.monotonic()
        try:
            reply = services.provider.chat(call.body, timeout_seconds, call.inline)
        except OverstoryError as error:
            if is_limited:
                _end_failed(services, lease, error)
            _close(services, call_id, error)
            raise
        reply = with_usage(reply, call.prompt_tokens, call.max_tokens)
        seconds, usage = time.monotonic() - sent_at, reply.usage
        money = spent_on(services.settings.price_of(services.settings.model), usage)
        with services.database.write() as connection:
            ledger.settle(connection, call_id, reply, money)
        if is_limited:
            end(services.limiter.settle, lease.token, total(usage), usage.completion_tokens)
    return SingleReply(reply, seconds, money)


def _wait_for_room(services: Services, lease: Lease, tokens: int) -> None:
    until = time.monotonic() + WAIT_SECONDS
    while not isinstance(answer := acquire(services, lease, tokens), Admitted):
        if time.monotonic() >= until:
            message = f"the account has had no room for {WAIT_SECONDS:.0f} s: {answer.kind}"
            raise SlowDown(LimitKind.UNKNOWN, None, message)
        services.stopping.wait(min(max(answer.seconds, 0.005), 1.0))


def _open(services: Services, call: SingleCall, lease: Lease) -> int:
    settings = services.settings
    price = settings.price_of(settings.model)
    most = most_cost(price, call.prompt_tokens, call.max_tokens)
    new = NewCall(
        # a key of its own each time, so that a former reply never answers
        key=key_of(settings.endpoint, {**call.body, "once": secrets.token_hex(8)}),
        job_id=None,
        node_id=None,
        account=services.account,
        model=settings.model,
        images=len(call.inline),
        reserved_tokens=call.prompt_tokens + call.completion_tokens,
        reserved_cost=most,
        currency=price.currency,
        endpoint=settings.endpoint,
        prompt_parts=call.parts,
    )
    with services.database.write() as connection:
        call_id = ledger.open_call(connection, new, lease)
    assert call_id is not None, "a key of its own is never in flight twice"
    return call_id


def _end_failed(services: Services, lease: Lease, error: OverstoryError) -> None:
    """End the call's lease at the limiter, by what became of it."""
    match error:
        case SlowDown():
            end(services.limiter.slow_down, lease.token, error)
        case ProviderDown():
            end(services.limiter.provider_down, lease.token, error)
        case RequestRefused() | ReplyUnusable():
            usage = error.reply.usage if error.reply else None
            end(services.limiter.settle, lease.token, total(usage))
        case _:
            end(services.limiter.settle, lease.token, 0)


def _close(services: Services, call_id: int, error: OverstoryError) -> None:
    """Close the call on the ledger, by what became of it."""
    status, http_status, reply = CallStatus.FAILED, None, None
    match error:
        case SlowDown():
            http_status = 429
        case KeyRefused():
            http_status = 401
        case ProviderDown():
            status = CallStatus.UNKNOWN if error.sent else CallStatus.FAILED
            http_status = error.status
        case RequestRefused():
            status, http_status, reply = CallStatus.REFUSED, error.status, error.reply
        case ReplyUnusable():
            status, http_status, reply = CallStatus.UNKNOWN, 200, error.reply
    usage = reply.usage if reply else None
    money = spent_on(services.settings.price_of(services.settings.model), usage)
    with services.database.write() as connection:
        ledger.close(connection, call_id, status, str(error), http_status, usage, money)
