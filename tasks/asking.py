"""The pipe of the calling stages, from a ready node to its recorded text.

    gate: pick the node that deserves the next call -> answered in the ledger? record it
          else ask the limiter -> claim the node -> write the call
    send: the paid call, its leases kept alive
    record: settle the ledger, judge the reply, move the node, send what became ready

One thread a process and stage waits at the gate for the account, so waiting costs next to nothing
and the choice of the node is made at the moment a call is admitted: a small job that arrives late
is served at once. Which form of a request is asked follows from the ledger alone: every settled
reply that could not be used leads to the next form, so a crash repeats no step that was paid.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Protocol

import structlog

from clients.limiter import Admitted, Hold, Wait
from clients.spool import Spooled
from core.errors import (
    AccountPaused,
    FileGone,
    KeyRefused,
    OverstoryError,
    ProviderDown,
    RefusalCode,
    ReplyUnusable,
    RequestRefused,
    ServiceAway,
    SlowDown,
)
from core.outcomes import backoff_seconds
from core.profiles import cost, currency_of, price_of
from core.reply import Reply, Usage
from core.request import FIRST, Ask, Body, Variant, key_of, reserve
from core.shape import shape_of
from core.states import CallStatus, NodeKind
from core.verdict import VARIANTS_MAX, Unusable, Usable, judge
from models import claims, ledger, queries, state
from models.claims import Lease, NodeWork
from models.engine import Connection
from models.ledger import NewCall
from models.state import Moved
from tasks.account import pause_account
from tasks.pipeline import announce
from tasks.services import Services

log = structlog.get_logger()

TWIN_SECONDS = 1.0
"""How long a node waits for the same request of another job, which is in flight."""
LATE_SECONDS = 0.5
"""A call is sent this soon after its admission: where its worker is killed, the limiter takes it to
have arrived within a second of that (its guard)."""
TOO_LATE = "its turn had passed when it was ready to be sent"
REFUSALS_WITHOUT_ANSWER = 12
"""So many refusals and not one answer: it is the request that is wrong, not the images."""


class Remedy(StrEnum):
    """What to do with a node whose request cannot be asked as it is."""

    ASK = "ask"
    SPLIT = "split"  # too much for one request
    UPLOAD = "upload"  # files are missing


class Question(Protocol):
    """A node's request. Stages build it from the database; it is a value from then on."""

    @property
    def remedy(self) -> Remedy: ...

    @property
    def image_tokens(self) -> int: ...

    @property
    def images(self) -> int: ...

    @property
    def known(self) -> frozenset[int]: ...

    @property
    def positions(self) -> dict[int, int] | None: ...

    def body(self, variant: Variant) -> Body:
        """The body with every image named by its content: what the key hashes."""

    def sendable(self, services: Services, variant: Variant) -> Body:
        """The body as it goes over the wire."""


class CallStage(Protocol):
    """What differs between the calling stages."""

    name: str
    kind: NodeKind

    def question(self, services: Services, connection: Connection, node: NodeWork) -> Question: ...

    def split(
        self,
        services: Services,
        connection: Connection,
        node: NodeWork,
        token: str,
        halve: bool,
        moved: Moved,
    ) -> bool:
        """Replace the node by smaller ones; False when it holds one thing only."""

    def upload_again(
        self,
        services: Services,
        connection: Connection,
        node: NodeWork,
        token: str,
        gone: set[str],
        moved: Moved,
    ) -> None:
        """Send the images behind file ids (all that are missing when empty) back to upload."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A node and the form of its request that is to be sent."""

    node: NodeWork
    question: Question
    variant: Variant


@dataclass(frozen=True, slots=True)
class Admission:
    """A node that was claimed, its call that was written, and the account's leave to send it."""

    node: NodeWork
    question: Question
    variant: Variant
    call_id: int
    lease: Lease
    tokens: int  # reserved
    admitted_at: float  # time.monotonic(): the limiter counts from what is sent, not admitted


_gates: dict[str, threading.Lock] = {}
_gates_lock = threading.Lock()


def run(services: Services, stage: CallStage) -> str:
    """Do what one message is good for: at most one paid call."""
    _ = services.provider  # its first use loads the SDK: not between admission and sending
    with _gate(stage.name):
        admission = admit(services, stage)
    if isinstance(admission, str):
        return admission
    with services.leases.hold(admission.lease.token, call=True):
        fresh = in_time(services, admission)
        if fresh is None:
            return f"job {admission.node.job_id}: {_span(admission.node)}: {TOO_LATE}"
        return send(services, stage, fresh)


def _gate(name: str) -> threading.Lock:
    with _gates_lock:
        return _gates.setdefault(name, threading.Lock())


# ---- the gate


def admit(services: Services, stage: CallStage) -> Admission | str:
    """Wait until the best node may be asked, and take it; a sentence when there is none to ask."""
    waited = 0.0
    asked: Asked | None = None
    while not services.stopping.is_set():
        with services.database.read() as connection:
            node = claims.next_node(connection, services.account, stage.kind)
        if node is None:
            return "nothing was due"
        if asked is None or asked.node != node:  # while it waits, its request stays the same
            asked = request_of(services, stage, node)
            if asked is None:
                continue
        answer = take(services, asked)
        if isinstance(answer, Admission):
            return answer
        if answer == 0.0:
            asked = None  # something has changed: look again
        waited += answer
        if waited > services.settings.gate_wait_seconds:
            return "waited for the account; the node is asked later"
        services.stopping.wait(answer)
    return "the worker is stopping"


def request_of(services: Services, stage: CallStage, node: NodeWork) -> Asked | None:
    """What to ask for ``node`` now; None when it needed no call, or must be rearranged first."""
    with services.database.read() as connection:
        question = stage.question(services, connection, node)
    if question.remedy != Remedy.ASK:
        settle_without_call(services, stage, node, question)
        return None
    variant = replay(services, stage, node, question)
    return None if variant is None else Asked(node, question, variant)


def replay(
    services: Services, stage: CallStage, node: NodeWork, question: Question
) -> Variant | None:
    """The form to ask now, by what the ledger says was asked before. None: the node is settled."""
    variant = FIRST
    for _ in range(VARIANTS_MAX):
        key = key_of(node.endpoint, question.body(variant))
        with services.database.read() as connection:
            reply = ledger.answered(connection, key, _only_job(node))
        if reply is None:
            return variant
        verdict = judge(reply, variant, question.known, question.positions)
        if isinstance(verdict, Usable):
            record_from_ledger(services, node, verdict)
            return None
        variant = variant.after(verdict.reason)
    give_up(services, stage, node, "no form of the request got a usable reply")
    return None


def take(services: Services, asked: Asked) -> Admission | float:
    """Ask the account, then claim the node and write the call; else seconds to wait."""
    node, question = asked.node, asked.question
    lease = services.new_lease()
    body = question.body(asked.variant)
    tokens = reserve(body, question.image_tokens)
    admitted_at = time.monotonic()
    answer = _acquire(services, lease, tokens)
    if not isinstance(answer, Admitted):
        return min(max(answer.seconds, 0.005), 1.0 if answer.kind is not Hold.PAUSED else 5.0)
    call_id = None
    try:
        with services.database.write() as connection:
            if claims.claim_node(connection, node, lease, tokens):
                call = _new_call(services, node, question, body, tokens)
                call_id = _open(connection, node, call, lease)
    finally:
        if call_id is None:
            services.limiter.cancel(lease.token)
    if call_id is None:
        return 0.0
    return Admission(node, question, asked.variant, call_id, lease, tokens, admitted_at)


def _open(connection: Connection, node: NodeWork, call: NewCall, lease: Lease) -> int | None:
    """Write the call of a claimed node. None: another job's twin of it is in flight, or has been
    answered since this request was looked up, and the node is asked about again."""
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


def _acquire(services: Services, lease: Lease, tokens: int) -> Admitted | Wait:
    """Ask the limiter; a reply that was lost must not leave a slot taken."""
    try:
        return services.limiter.acquire(lease.token, tokens, services.leases.slot_seconds())
    except ServiceAway:
        with contextlib.suppress(ServiceAway):
            services.limiter.cancel(lease.token)
        raise


def _new_call(
    services: Services, node: NodeWork, question: Question, body: Body, tokens: int
) -> NewCall:
    return NewCall(
        key=key_of(node.endpoint, body),
        job_id=node.job_id,
        node_id=node.id,
        account=services.account,
        model=node.model,
        images=question.images,
        reserved_tokens=tokens,
        currency=currency_of(services.settings.base_url),
    )


def _only_job(node: NodeWork) -> str | None:
    """A fresh job takes no other job's replies."""
    return node.job_id if node.options.get("fresh") else None


def settle_without_call(
    services: Services, stage: CallStage, node: NodeWork, question: Question
) -> None:
    """A node that is too large, or whose files are gone, is rearranged under its own lease."""
    lease = services.new_lease()
    moved = Moved()
    with services.database.write() as connection:
        if not claims.claim_node(connection, node, lease, 0):
            return
        if question.remedy == Remedy.UPLOAD:
            stage.upload_again(services, connection, node, lease.token, set(), moved)
        else:
            stage.split(services, connection, node, lease.token, False, moved)
    announce(services, node.job_id, moved)


def record_from_ledger(services: Services, node: NodeWork, verdict: Usable) -> None:
    """Somebody has paid for this before: record it without a call."""
    lease = services.new_lease()
    moved = Moved()
    with services.database.write() as connection:
        if claims.claim_node(connection, node, lease, 0):
            state.node_done(connection, node.id, lease.token, verdict.text, verdict.refused, moved)
    announce(services, node.job_id, moved)


def give_up(services: Services, stage: CallStage, node: NodeWork, reason: str) -> None:
    """No form of the request works: try its halves, or fail what is left alone."""
    lease = services.new_lease()
    moved = Moved()
    with services.database.write() as connection:
        if claims.claim_node(connection, node, lease, 0):
            _halve_or_fail(
                services, stage, connection, node, lease.token, RefusalCode.POISON, reason, moved
            )
    announce(services, node.job_id, moved)


# ---- the call


def send(services: Services, stage: CallStage, admission: Admission) -> str:
    """Send the paid call and record what came of it."""
    lease, node = admission.lease, admission.node
    try:
        body = admission.question.sendable(services, admission.variant)
        sent_at = time.monotonic()
        reply = services.provider.chat(body)
    except SlowDown as error:
        end(services.limiter.slow_down, lease.token, error)
        close(services, admission, CallStatus.FAILED, error, 429)
        postpone(services, admission, error.retry_after or 0.0, error, costs_attempt=False)
    except ProviderDown as error:
        end(services.limiter.provider_down, lease.token, error)
        status = CallStatus.UNKNOWN if error.sent else CallStatus.FAILED
        close(services, admission, status, error, error.status)
        retry_or_give_up(services, stage, admission, error)
    except AccountPaused as error:
        end(services.limiter.settle, lease.token, 0)
        close(services, admission, CallStatus.FAILED, error, 402)
        postpone(services, admission, 0.0, error, costs_attempt=False)
        pause_account(services, error)
    except KeyRefused as error:
        end(services.limiter.settle, lease.token, 0)
        close(services, admission, CallStatus.FAILED, error, 401)
        stop_job(services, admission, str(error))
    except FileGone as error:
        end(services.limiter.settle, lease.token, 0)
        close(services, admission, CallStatus.FAILED, error, 400)
        heal(services, stage, admission, error)
    except RequestRefused as error:
        usage = error.reply.usage if error.reply else None
        end(services.limiter.settle, lease.token, _total(usage))
        close(services, admission, CallStatus.REFUSED, error, error.status, usage)
        refused(services, stage, admission, error)
    except ReplyUnusable as error:
        usage = error.reply.usage if error.reply else None
        end(services.limiter.settle, lease.token, _total(usage))
        unusable(services, stage, admission, error)
    except ServiceAway as error:  # the blob store, before anything was sent
        end(services.limiter.cancel, lease.token)
        close(services, admission, CallStatus.FAILED, error)
        postpone(services, admission, 5.0, error, costs_attempt=False)
    else:
        services.leases.took(time.monotonic() - sent_at)
        settle(services, admission, reply)  # durable before anything else
        usage = reply.usage
        completion = usage.completion_tokens
        end(
            services.limiter.settle,
            lease.token,
            _total(usage),
            completion,
            sent_at - admission.admitted_at,
        )
        return answered(services, stage, admission, reply)
    return f"job {node.job_id}: {_span(node)}: not answered"


def in_time(services: Services, admission: Admission) -> Admission | None:
    """The admission to send by now, got anew where the first is old. None: the node is asked
    later."""
    if time.monotonic() - admission.admitted_at <= LATE_SECONDS:
        return admission
    end(services.limiter.cancel, admission.lease.token)
    admitted_at = time.monotonic()
    try:
        answer = _acquire(services, admission.lease, admission.tokens)
    except ServiceAway:
        answer = Wait(1.0, Hold.COOLING)
    if isinstance(answer, Admitted):
        return replace(admission, admitted_at=admitted_at)
    close(services, admission, CallStatus.FAILED, TOO_LATE)
    postpone(services, admission, min(answer.seconds, 1.0), TOO_LATE, costs_attempt=False)
    return None


def end(how: Callable[..., None], *args: object) -> None:
    """End a call's lease at the limiter. Where the limiter is away the lease expires by itself:
    what came of the call is recorded all the same."""
    try:
        how(*args)
    except ServiceAway as error:
        log.warning("limiter.away", error=str(error))


def answered(services: Services, stage: CallStage, admission: Admission, reply: Reply) -> str:
    """A paid reply that is on the ledger: judge it, record it."""
    node = admission.node
    verdict = judge(
        reply, admission.variant, admission.question.known, admission.question.positions
    )
    if isinstance(verdict, Unusable):
        postpone(services, admission, 0.0, f"unusable reply: {verdict.reason}", False)
        services.send(stage.name, job=node.job_id, node=node.id)
        return f"job {node.job_id}: {_span(node)}: {verdict.reason}, asked again"
    moved = Moved()
    with services.database.write() as connection:
        kept = state.node_done(
            connection, node.id, admission.lease.token, verdict.text, verdict.refused, moved
        )
    announce(services, node.job_id, moved)
    return f"job {node.job_id}: {_span(node)}: {'answered' if kept else 'answered too late'}"


def settle(services: Services, admission: Admission, reply: Reply) -> None:
    """Write the paid reply to the ledger; while the database is away it waits on disk."""
    price = price_of(admission.node.model, services.settings.base_url)
    usage = reply.usage
    money = cost(price, usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens)
    spooled: Path | None = None
    attempt = 0
    while True:
        try:
            with services.database.write() as connection:
                ledger.settle(connection, admission.call_id, reply, money)
            break
        except ServiceAway:
            spooled = spooled or spool(services, Spooled(admission.call_id, money, reply))
            if spooled is not None and services.stopping.wait(
                backoff_seconds(attempt, services.draw(), 0.2, 5.0)
            ):
                raise  # it is on disk: the reconciler settles it
            if spooled is None:  # neither on disk nor in the database: hold on to it
                time.sleep(1.0)
            attempt += 1
    if spooled is not None:
        services.spool.drop(spooled)


def spool(services: Services, spooled: Spooled) -> Path | None:
    """Put a reply on disk; None where the disk does not take it, which is tried again."""
    try:
        return services.spool.keep(spooled)
    except OSError as error:
        log.warning("spool.full", call=spooled.call_id, error=str(error))
        return None


# ---- what went wrong


def close(
    services: Services,
    admission: Admission,
    status: CallStatus,
    error: object,
    http_status: int | None = None,
    usage: Usage | None = None,
) -> None:
    money = 0.0
    if usage is not None:
        price = price_of(admission.node.model, services.settings.base_url)
        money = cost(price, usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens)
    with services.database.write() as connection:
        ledger.close(connection, admission.call_id, status, str(error), http_status, usage, money)


def postpone(
    services: Services,
    admission: Admission,
    after_seconds: float,
    error: object,
    costs_attempt: bool,
) -> None:
    with services.database.write() as connection:
        state.node_postponed(
            connection,
            admission.node.id,
            admission.lease.token,
            after_seconds,
            str(error),
            costs_attempt,
        )
    if after_seconds <= 0:
        stage = "infer" if admission.node.kind == NodeKind.LEAF else "aggregate"
        services.send(stage, job=admission.node.job_id, node=admission.node.id)


def retry_or_give_up(
    services: Services, stage: CallStage, admission: Admission, error: ProviderDown
) -> None:
    """A call that failed on the way: later again. While the whole provider is down it costs no
    attempt, so an outage fails nobody."""
    with services.database.read() as connection:
        silent = queries.seconds_since(connection, admission.node.started_at)
    if silent > services.settings.outage_max_seconds:
        stop_job(services, admission, f"the provider has not answered for {silent / 3600:.1f} h")
        return
    outage = services.limiter.state().probe_seconds is not None
    attempts = admission.node.attempts + 1
    if not outage and attempts >= services.settings.call_attempts_max:
        fail_or_halve(services, stage, admission, RefusalCode.POISON, str(error))
        return
    after = backoff_seconds(min(attempts, 6), services.draw())
    postpone(services, admission, after, error, costs_attempt=not outage)


def refused(
    services: Services, stage: CallStage, admission: Admission, error: RequestRefused
) -> None:
    """A request refused as it stands: find the image that is to blame, or see that none is."""
    with services.database.read() as connection:
        settled, refusals = queries.settled_and_refused(connection, admission.node.job_id)
    concerns_all = error.status == 404 or (
        settled == 0 and refusals >= REFUSALS_WITHOUT_ANSWER and not error.moderation
    )
    if concerns_all:
        stop_job(services, admission, str(error))
        return
    code = RefusalCode.BLOCKED if error.moderation else RefusalCode.REFUSED_BY_PROVIDER
    fail_or_halve(services, stage, admission, code, str(error))


def unusable(
    services: Services, stage: CallStage, admission: Admission, error: ReplyUnusable
) -> None:
    """A 200 that carries no reply: it may have been paid, so it is on the ledger as unknown."""
    usage = error.reply.usage if error.reply else None
    close(services, admission, CallStatus.UNKNOWN, error, 200, usage)
    if admission.node.attempts + 1 >= services.settings.call_attempts_max:
        fail_or_halve(services, stage, admission, RefusalCode.POISON, str(error))
        return
    after = backoff_seconds(admission.node.attempts, services.draw())
    postpone(services, admission, after, error, costs_attempt=True)


def fail_or_halve(
    services: Services, stage: CallStage, admission: Admission, code: RefusalCode, reason: str
) -> None:
    moved = Moved()
    with services.database.write() as connection:
        _halve_or_fail(
            services,
            stage,
            connection,
            admission.node,
            admission.lease.token,
            code,
            reason,
            moved,
        )
    announce(services, admission.node.job_id, moved)


def _halve_or_fail(
    services: Services,
    stage: CallStage,
    connection: Connection,
    node: NodeWork,
    token: str,
    code: RefusalCode,
    reason: str,
    moved: Moved,
) -> None:
    if not stage.split(services, connection, node, token, True, moved):
        state.node_failed(connection, node.id, code, reason, moved, token)


def stop_job(services: Services, admission: Admission, reason: str) -> None:
    moved = Moved()
    with services.database.write() as connection:
        state.job_failed(connection, admission.node.job_id, reason, moved)
    announce(services, admission.node.job_id, moved)


def heal(services: Services, stage: CallStage, admission: Admission, error: FileGone) -> None:
    """A file id the provider no longer knows: find out which, and upload those images again."""
    if admission.node.attempts >= services.settings.attempts_max:
        reason = f"its files keep vanishing at the provider: {error}"
        fail_or_halve(services, stage, admission, RefusalCode.UPLOAD_FAILED, reason)
        return
    gone = {error.file_id} if error.file_id else _missing_files(services, admission)
    moved = Moved()
    with services.database.write() as connection:
        stage.upload_again(services, connection, admission.node, admission.lease.token, gone, moved)
    log.info("files.healed", job=admission.node.job_id, node=admission.node.id, files=len(gone))
    announce(services, admission.node.job_id, moved)


def _missing_files(services: Services, admission: Admission) -> set[str]:
    """File ids the node uses that the provider does not list; all of them if it cannot say."""
    used = set(_file_ids(admission.question.sendable(services, admission.variant)))
    try:
        listed = {file.id for file in services.provider.files()}
    except OverstoryError:
        return used
    return used - listed or used


def _file_ids(body: Body) -> Sequence[str]:
    content = body["messages"][-1]["content"]
    urls = [part["image_url"]["url"] for part in content if part["type"] == "image_url"]
    return [url.removeprefix("stepfile://") for url in urls if url.startswith("stepfile://")]


def ask_of(services: Services, node: NodeWork) -> Ask:
    """What stays the same over the requests of a node's job."""
    shape = shape_of(
        node.model,
        node.provider,
        node.ask,
        services.settings.images_per_request,
        services.settings.context_tokens,
    )
    return Ask(
        question=node.ask,
        model=node.model,
        endpoint=node.endpoint,
        detail="high" if node.detail == "high" else "low",
        shape=shape,
        reasoning_effort=(
            services.settings.reasoning_effort if services.profile.reasoning else None
        ),
    )


def _total(usage: Usage | None) -> int:
    return 0 if usage is None else usage.prompt_tokens + usage.completion_tokens


def _span(node: NodeWork) -> str:
    return f"node {node.id}, images {node.first_position} to {node.last_position}"
