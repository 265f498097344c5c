"""The gate: which node may be asked next, and the account's leave to ask it.

Reads: the node that deserves the next call, the ledger. Writes: the claimed node and its call, or
the node's text where the ledger has the answer. May raise ServiceAway: nothing is sent then.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping

import structlog

from clients.limiter.limiter import Admitted, Hold, Wait
from core.errors import (
    RefusalCode,
    ServiceAway,
)
from core.outcomes import backoff_seconds
from core.requests.request import Body, key_of, reserve
from core.requests.review import Accepted
from models import claims, ledger, state
from models.claims import Lease, NodeWork
from models.engine import Connection
from models.ledger import NewCall
from models.state import Moved
from tasks.calls import stagger
from tasks.calls.budget import affords, most_of, must_wait
from tasks.calls.failures import halve_or_fail
from tasks.calls.node_request import (
    Admission,
    AnyForm,
    Asked,
    CallStage,
    NextStep,
    NodeRequest,
    record,
)
from tasks.image_slices import announce
from tasks.runtime.services import Services

log = structlog.get_logger()

TWIN_SECONDS = 1.0
"""How long a node waits for the same request of another job, which is in flight."""
MONEY_SECONDS = 0.2
"""How soon to look again where nothing but jobs whose money is in flight is due."""


def admit(services: Services, stage: CallStage) -> Admission | str:
    """Wait until the best node may be asked, and take it; a sentence when there is none to ask."""
    waited: dict[str, float] = {}  # by what held this gate, in seconds
    idle = 0.0
    asked: Asked | None = None
    short: set[str] = set()  # jobs whose money is in flight: others go first
    while not services.stopping.is_set():
        with services.database.read() as connection:
            node = claims.next_node(connection, services.account, stage.kind, short)
        if node is None:
            if not short or idle > services.settings.gate_wait_seconds:
                return "what is due waits for money in flight" if short else "nothing was due"
            short.clear()  # another look at what waits for money in flight, a little later
            idle += MONEY_SECONDS
            services.stopping.wait(MONEY_SECONDS)
            continue
        if asked is None or asked.node != node:  # while it waits, its request stays the same
            asked = request_of(services, stage, node)
            if asked is None:
                continue
        if must_wait(services, asked):
            short.add(node.job_id)
            continue
        answer = None if stagger.paused(services, stage.kind) else take(services, asked, waited)
        if isinstance(answer, Admission):
            stagger.admitted(services)
            return answer
        if answer is None:
            asked = None  # something has changed: look again
            continue
        if sum(waited.values()) > services.settings.gate_wait_seconds:
            services.limiter.waited(waited)
            return "waited for the account; the node is asked later"
        _hold(services, answer, waited)
    return "the worker is stopping"


def _hold(services: Services, wait: Wait, waited: dict[str, float]) -> None:
    """Wait as the limiter says, but look again often: a hold may be lifted any time."""
    began = time.monotonic()
    services.stopping.wait(min(max(wait.seconds, 0.005), 5.0 if wait.kind is Hold.PAUSED else 1.0))
    waited[wait.kind] = waited.get(wait.kind, 0.0) + time.monotonic() - began


def request_of(services: Services, stage: CallStage, node: NodeWork) -> Asked | None:
    """What to ask for ``node`` now; None when it needed no call, must be rearranged first, or was
    put off: whatever goes wrong with one node must not keep all others from being asked."""
    try:
        return _request_of(services, stage, node)
    except ServiceAway:
        raise
    except Exception as error:
        log.exception("node.unexpected", job=node.job_id, node=node.id)
        put_off(services, stage, node, f"unexpected: {type(error).__name__}: {error}")
        return None


def _request_of(services: Services, stage: CallStage, node: NodeWork) -> Asked | None:
    with services.database.read() as connection:
        question = stage.question(services, connection, node)
    if question.remedy == NextStep.COMPOSE:
        record_without_call(services, node, Accepted(question.composed(), 0))
        return None
    if question.remedy != NextStep.ASK:
        settle_without_call(services, stage, node, question)
        return None
    form = replay(services, stage, node, question)
    return None if form is None else Asked(node, question, form)


def replay(
    services: Services, stage: CallStage, node: NodeWork, question: NodeRequest
) -> AnyForm | None:
    """The form to ask now, by what the ledger says was asked before. None: the node is settled."""
    form, replies = question.first(), []
    for _ in range(question.forms_max):
        key = key_of(node.endpoint, question.body(form))
        with services.database.read() as connection:
            reply = ledger.answered(connection, key, _only_job(node))
        if reply is None:
            return form
        verdict = question.judge(reply, form)
        if isinstance(verdict, Accepted):
            record_without_call(services, node, verdict)
            return None
        form = verdict.form
        replies.append(reply)
        if (saved := question.salvaged(replies)) is not None:
            record_without_call(services, node, saved)
            return None
    give_up(services, stage, node, "no form of the request got a usable reply")
    return None


def take(services: Services, asked: Asked, waited: Mapping[str, float]) -> Admission | Wait | None:
    """Ask the account, then claim the node and write the call. None: the node is not to be had."""
    node, question = asked.node, asked.question
    lease = services.new_lease()
    body = question.body(asked.variant)
    tokens = _likely(services, asked, body)
    admitted_at = time.monotonic()
    answer = acquire(services, lease, tokens, waited)
    if not isinstance(answer, Admitted):
        return answer
    call_id = None
    try:
        with services.database.write() as connection:
            if claims.claim_node(connection, node, lease, tokens):
                call = _new_call(services, asked, body, tokens)
                call_id = _open(connection, node, call, lease)
    finally:
        if call_id is None:
            services.limiter.cancel(lease.token)
    if call_id is None:
        return None
    return Admission(node, question, asked.variant, call_id, lease, tokens, admitted_at)


def _likely(services: Services, asked: Asked, body: Body) -> int:
    """Tokens to reserve: the bound, less what is known to be too much of it."""
    node, question, most = asked.node, asked.question, int(body["max_tokens"])
    unused = most - services.written.likely((node.model, node.kind), most)
    return reserve(body, question.image_tokens(asked.variant)) - question.overestimated() - unused


def _open(connection: Connection, node: NodeWork, call: NewCall, lease: Lease) -> int | None:
    """Write the call of a claimed node. None: its job cannot pay for it now, or another job's twin
    of it is in flight or has been answered since this request was looked up; the node is asked
    about again."""
    if not affords(connection, node, call, lease):
        return None
    call_id = ledger.open_call(connection, call, lease)
    if call_id is None:
        reason = "another job is asking the same"
        state.node_postponed(connection, node.id, lease.token, TWIN_SECONDS, reason, False)
        return None
    # only after the insert: it may have waited for the twin's settlement
    if ledger.answered(connection, call.key, _only_job(node)) is not None:
        ledger.withdraw(connection, call_id)
        state.node_postponed(connection, node.id, lease.token, 0.0, "answered meanwhile", False)
        return None
    return call_id


def acquire(
    services: Services, lease: Lease, tokens: int, waited: Mapping[str, float] | None = None
) -> Admitted | Wait:
    """Ask the limiter; a reply that was lost must not leave a slot taken."""
    ttl = services.leases.slot_seconds()
    try:
        return services.limiter.acquire(lease.token, tokens, ttl, waited)
    except ServiceAway:
        with contextlib.suppress(ServiceAway):
            services.limiter.cancel(lease.token)
        raise


def _new_call(services: Services, asked: Asked, body: Body, tokens: int) -> NewCall:
    node, image_tokens = asked.node, asked.question.image_tokens(asked.variant)
    return NewCall(
        key=key_of(node.endpoint, body),
        job_id=node.job_id,
        node_id=node.id,
        account=services.account,
        model=node.model,
        images=asked.question.images(asked.variant),
        reserved_tokens=tokens,
        reserved_cost=most_of(services, node.model, body, image_tokens),
        currency=services.settings.price_of(node.model).currency,
    )


def _only_job(node: NodeWork) -> str | None:
    """A fresh job takes no other job's replies."""
    return node.job_id if node.options.get("fresh") else None


def settle_without_call(
    services: Services, stage: CallStage, node: NodeWork, question: NodeRequest
) -> None:
    """A node that is too large, or whose files are gone, is rearranged under its own lease."""
    lease = services.new_lease()
    moved = Moved()
    with services.database.write() as connection:
        if not claims.claim_node(connection, node, lease, 0):
            return
        if question.remedy == NextStep.UPLOAD:
            stage.upload_again(services, connection, node, lease.token, set(), moved)
        else:
            stage.split(services, connection, node, lease.token, False, moved)
    announce(services, node.job_id, moved)


def record_without_call(services: Services, node: NodeWork, verdict: Accepted) -> None:
    """Somebody has paid for this before, or code has written it: record it without a call."""
    lease = services.new_lease()
    moved = Moved()
    with services.database.write() as connection:
        if claims.claim_node(connection, node, lease, 0):
            record(connection, node, lease.token, verdict, moved)
    announce(services, node.job_id, moved)


def put_off(services: Services, stage: CallStage, node: NodeWork, reason: str) -> None:
    """A node that cannot be asked is looked at again later; after as many looks as it has attempts,
    its halves are asked, or what is left alone fails."""
    if node.attempts + 1 >= services.settings.call_attempts_max:
        give_up(services, stage, node, reason)
        return
    lease = services.new_lease()
    with services.database.write() as connection:
        if claims.claim_node(connection, node, lease, 0):
            seconds = backoff_seconds(node.attempts, services.draw())
            state.node_postponed(connection, node.id, lease.token, seconds, reason, True)


def give_up(services: Services, stage: CallStage, node: NodeWork, reason: str) -> None:
    """No form of the request works: try its halves, or fail what is left alone."""
    lease = services.new_lease()
    moved = Moved()
    with services.database.write() as connection:
        if claims.claim_node(connection, node, lease, 0):
            halve_or_fail(
                services, stage, connection, node, lease.token, RefusalCode.POISON, reason, moved
            )
    announce(services, node.job_id, moved)
