"""Admission: which node may be asked next, and whether the account allows the call now.

Reads: the node that deserves the next call, the ledger. Writes: the claimed node and its call, or
the node's text where the ledger has the reply. May raise ServiceAway: nothing is sent then.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never

import structlog

from clients.limiter.limiter import Admitted, Hold, Wait
from core.errors import RefusalCode, ServiceAway
from core.outcomes import backoff_seconds
from core.reply import Reply
from core.requests.review import Accepted
from models import claims, endpoint_limits, ledger, state
from models.claims import Lease, NodeWork
from models.engine import Connection
from models.ledger import NewCall
from models.state import Moved
from tasks.calls import reach, stagger
from tasks.calls.budget import affords, most_of, must_wait
from tasks.calls.failures import disbelieve, halve_or_fail, stop_if_blind
from tasks.calls.node_request import (
    Admission,
    AnyCall,
    AnyRequest,
    Ask,
    CallStage,
    Compose,
    Disbelieved,
    Rearrange,
    record,
)
from tasks.image_slices import announce
from tasks.runtime.services import Services

log = structlog.get_logger()

DUPLICATE_SECONDS = 1.0
"""How long a node waits for the same request of another job, which is in flight."""
PROBE_SECONDS = 0.5
"""How long a node waits while another one tests how many images the endpoint takes, or whether the
model answers at all."""
MONEY_SECONDS = 0.2
"""How soon to check again if only jobs whose money is held by calls in flight are due."""


def admit(services: Services, stage: CallStage) -> Admission | str:
    """Wait until the best node may be asked, and take it; a sentence if there is none to ask."""
    waited: dict[str, float] = {}  # seconds, by what held the call
    idle = 0.0
    call: AnyCall | None = None
    short: set[str] = set()  # jobs whose money is held by calls in flight: others go first
    while not services.stopping.is_set():
        with services.database.read() as connection:
            node = claims.next_node(connection, services.account, stage.kind, short)
        if node is None:
            if not short or idle > services.settings.gate_wait_seconds:
                return "what is due waits for money in flight" if short else "nothing was due"
            short.clear()  # check again a little later what waits for money in flight
            idle += MONEY_SECONDS
            services.stopping.wait(MONEY_SECONDS)
            continue
        if call is None or call.node != node:  # while a node waits, its call stays the same
            call = plan_call(services, stage, node)
            if call is None:
                continue
        if must_wait(services, call):
            short.add(node.job_id)
            continue
        paused = reach.paused(services) or stagger.paused(services, stage.kind)
        answer = None if paused else take(services, call, waited)
        if isinstance(answer, Admission):
            stagger.admitted(services)
            return answer
        if answer is None:
            call = None  # something has changed: choose again
            continue
        if sum(waited.values()) > services.settings.gate_wait_seconds:
            services.limiter.waited(waited)
            return "waited for the account; the node is asked later"
        _hold(services, answer, waited)
    return "the worker is stopping"


def _hold(services: Services, wait: Wait, waited: dict[str, float]) -> None:
    """Wait as the limiter says, but check often: a hold may be lifted at any time."""
    began = time.monotonic()
    services.stopping.wait(min(max(wait.seconds, 0.005), 5.0 if wait.kind is Hold.PAUSED else 1.0))
    waited[wait.kind] = waited.get(wait.kind, 0.0) + time.monotonic() - began


def plan_call(services: Services, stage: CallStage, node: NodeWork) -> AnyCall | None:
    """The call that is due for ``node``. None if it needed no call, was rearranged, or was put off:
    an error with one node must not keep all others from being asked."""
    try:
        return _plan_call(services, stage, node)
    except ServiceAway:
        raise
    except Exception as error:
        log.exception("node.unexpected", job=node.job_id, node=node.id)
        put_off(services, stage, node, f"unexpected: {type(error).__name__}: {error}")
        return None


def _plan_call(services: Services, stage: CallStage, node: NodeWork) -> AnyCall | None:
    with services.database.read() as connection:
        step = stage.next_step(services, connection, node)
    match step:
        case Ask(request):
            return replay(services, stage, node, request)
        case Compose(text):
            record_without_call(services, node, Accepted(text, 0))
        case Rearrange():
            rearrange(services, node, step)
        case _:
            assert_never(step)
    return None


def replay(
    services: Services, stage: CallStage, node: NodeWork, request: AnyRequest
) -> AnyCall | None:
    """The call that is due, by what the ledger says was asked before. None: nothing to ask."""
    with _PaidReplies(services, node) as paid:
        result = request.replay(node, paid)
    if paid.is_taken:
        return None
    if result is None:
        give_up(services, stage, node, RefusalCode.POISON, "no attempt got a usable reply")
    elif isinstance(result, Disbelieved):
        disbelieve(services, result.call, result.result)
        if not stop_if_blind(services, node) and result.result.room is None:
            give_up(services, stage, node, RefusalCode.UNSEEN, result.result.reason)
    elif isinstance(result, Accepted):
        record_without_call(services, node, result)
    else:
        return result
    return None


@dataclass(slots=True)
class _PaidReplies:
    """The paid replies to a node's requests, by their keys.

    The node is claimed before the first reply is reviewed. If the review ends the process, as an
    earlier review of the same reply may have done, the lease expires and the attempt counts.
    """

    services: Services
    node: NodeWork
    lease: Lease | None = None
    is_taken: bool = False
    """Another worker has the node: what is replayed then is not used."""

    def __call__(self, key: str) -> Reply | None:
        if self.is_taken:
            return None
        with self.services.database.read() as connection:
            reply = ledger.answered(connection, key, _only_job(self.node))
        if reply is None or self.lease is not None:
            return reply
        self.lease = self.services.new_lease()
        with self.services.database.write() as connection:
            self.is_taken = not claims.claim_node(connection, self.node, self.lease, 0)
        return None if self.is_taken else reply

    def __enter__(self) -> _PaidReplies:
        return self

    def __exit__(self, *_: object) -> None:
        """The process has survived the reviews."""
        if self.lease is not None and not self.is_taken:
            with self.services.database.write() as connection:
                claims.give_back(connection, self.node.id, self.lease.token)


def take(services: Services, call: AnyCall, waited: Mapping[str, float]) -> Admission | Wait | None:
    """Ask the account, then claim the node and write the call. None: the node cannot be had."""
    lease = services.new_lease()
    tokens = _likely_tokens(services, call)
    admitted_at = time.monotonic()
    answer = acquire(services, lease, tokens, waited)
    if not isinstance(answer, Admitted):
        return answer
    opened = None
    try:
        with services.database.write() as connection:
            if claims.claim_node(connection, call.node, lease, tokens):
                opened = _open(services, connection, call, tokens, lease)
    finally:
        if opened is None:
            services.limiter.cancel(lease.token)
    if opened is None:
        return None
    call_id, max_tokens = opened
    return Admission(call, call_id, lease, tokens, max_tokens, admitted_at)


def _likely_tokens(services: Services, call: AnyCall) -> int:
    """Tokens to reserve: the prompt's bound less what is known to be too much of it, and what
    replies usually take."""
    kind = (call.node.model, call.node.kind)
    completion = services.written.likely(kind, call.max_tokens)
    return call.prompt_tokens - call.request.overestimated() + completion


def _open(
    services: Services, connection: Connection, planned: AnyCall, tokens: int, lease: Lease
) -> tuple[int, int] | None:
    """Write the call of a claimed node. Returns its id and the tokens that its reply may have.

    None, and the node is considered again: if its job cannot pay for it now, if another call tests
    the endpoint's limit or whether the model answers, if the same request of another job is in
    flight, or if that was answered since this one was planned.
    """
    node = planned.node
    call = affords(services, connection, planned, new_call(services, planned, tokens), lease)
    if call is None:
        return None
    if call.images and not _may_show(connection, node, call, lease):
        return None
    if ledger.waits_for_text(connection, node.job_id, node.id, call.images > 0):
        reason = "the replies so far are empty: one request at a time"
        state.node_postponed(connection, node.id, lease.token, PROBE_SECONDS, reason, False)
        return None
    call_id = ledger.open_call(connection, call, lease)
    if call_id is None:
        reason = "another job is asking the same"
        state.node_postponed(connection, node.id, lease.token, DUPLICATE_SECONDS, reason, False)
        return None
    # only after the insert: it may have waited until the other job's call was settled
    if ledger.answered(connection, call.key, _only_job(node)) is not None:
        ledger.withdraw(connection, call_id)
        state.node_postponed(connection, node.id, lease.token, 0.0, "answered meanwhile", False)
        return None
    return call_id, call.max_tokens or planned.max_tokens


def _may_show(connection: Connection, node: NodeWork, call: NewCall, lease: Lease) -> bool:
    """Whether the endpoint may be shown so many images now. If not, the node is ready again: it is
    divided if a refusal has shown meanwhile that they are too many, and waits if another call tests
    how many it takes."""
    limits = endpoint_limits.learned(connection, node.endpoint, node.model, node.options.canary)
    if limits.images is not None and call.images > limits.images:
        state.node_postponed(connection, node.id, lease.token, 0.0, "it is divided first", False)
        return False
    if limits.probing and endpoint_limits.is_probed(connection, node.endpoint, node.model):
        reason = "another call tests how many images the endpoint takes"
        state.node_postponed(connection, node.id, lease.token, PROBE_SECONDS, reason, False)
        return False
    return True


def acquire(
    services: Services, lease: Lease, tokens: int, waited: Mapping[str, float] | None = None
) -> Admitted | Wait:
    """Ask the limiter. If its reply is lost, the slot is released."""
    ttl = services.leases.slot_seconds()
    try:
        return services.limiter.acquire(lease.token, tokens, ttl, waited)
    except ServiceAway:
        with contextlib.suppress(ServiceAway):
            services.limiter.cancel(lease.token)
        raise


def new_call(services: Services, call: AnyCall, tokens: int) -> NewCall:
    """The row of a planned call on the ledger."""
    node = call.node
    return NewCall(
        key=call.key,
        job_id=node.job_id,
        node_id=node.id,
        account=services.account,
        model=node.model,
        images=call.images,
        reserved_tokens=tokens,
        reserved_cost=most_of(services.settings, call),
        currency=services.settings.price_of(node.model).currency,
        endpoint=node.endpoint,
        prompt_parts=call.parts,
        owner=node.owner or node.options.watch,
    )


def _only_job(node: NodeWork) -> str | None:
    """A job with ``fresh`` takes no replies of other jobs."""
    return node.job_id if node.options.fresh else None


def rearrange(services: Services, node: NodeWork, step: Rearrange) -> None:
    """Rearrange a node that is too large, or whose files are gone, under its own lease."""
    lease = services.new_lease()
    moved = Moved()
    with services.database.write() as connection:
        if claims.claim_node(connection, node, lease, 0):
            step.under_lease(connection, lease.token, moved)
    announce(services, node.job_id, moved)


def record_without_call(services: Services, node: NodeWork, accepted: Accepted) -> None:
    """Record a text that was paid for before, or that code composed."""
    lease = services.new_lease()
    moved = Moved()
    with services.database.write() as connection:
        if claims.claim_node(connection, node, lease, 0):
            record(services.settings, connection, node, lease.token, accepted, moved)
    announce(services, node.job_id, moved)


def put_off(services: Services, stage: CallStage, node: NodeWork, reason: str) -> None:
    """Reschedule a node whose call could not be planned; it loses one attempt. After the last one
    its halves are asked, or what cannot be halved fails."""
    if node.attempts + 1 >= services.settings.call_attempts_max:
        give_up(services, stage, node, RefusalCode.POISON, reason)
        return
    lease = services.new_lease()
    with services.database.write() as connection:
        if claims.claim_node(connection, node, lease, 0):
            seconds = backoff_seconds(node.attempts, services.draw())
            state.node_postponed(connection, node.id, lease.token, seconds, reason, True)


def give_up(
    services: Services, stage: CallStage, node: NodeWork, code: RefusalCode, reason: str
) -> None:
    """No attempt works: ask the node's halves, or fail what cannot be halved."""
    lease = services.new_lease()
    moved = Moved()
    with services.database.write() as connection:
        if claims.claim_node(connection, node, lease, 0):
            halve_or_fail(services, stage, connection, node, lease.token, code, reason, moved)
    announce(services, node.job_id, moved)
