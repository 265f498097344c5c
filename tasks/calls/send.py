"""The call: sent, settled on the ledger before anything else, reviewed, recorded.

What goes wrong is distinguished here by the class of its error; tasks.calls.failures handles it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import structlog

from clients.limiter.limiter import Admitted, Hold, Wait
from clients.spool import Spooled
from core.account.adaptive_limit import asked_for
from core.account.budget import spent_on
from core.errors import (
    AccountPaused,
    BytesGone,
    FileGone,
    KeyRefused,
    ProviderDown,
    ReplyUnusable,
    RequestRefused,
    ServiceAway,
    SlowDown,
)
from core.outcomes import backoff_seconds
from core.reply import Reply
from core.requests.empty_reply import why_empty
from core.requests.leaf import LeafAttempt
from core.requests.request import with_usage
from core.requests.review import AskAgain, NotSeen
from core.states import CallStatus, NodeKind
from models import endpoint_limits, ledger
from models.engine import Connection
from models.state import Moved
from tasks.account import pause_account
from tasks.calls import reach
from tasks.calls.admission import acquire, new_call
from tasks.calls.failures import (
    as_learned,
    close,
    not_seen,
    postpone,
    refused,
    retry_or_give_up,
    reupload,
    silence_of,
    stop_if_blind,
    stop_job,
    stop_silent,
    total,
    unusable,
)
from tasks.calls.node_request import Admission, CallStage, record, span
from tasks.calls.trace import call_ended
from tasks.file_store import room_came
from tasks.image_slices import announce
from tasks.runtime.services import Services

log = structlog.get_logger()

LATE_SECONDS = 0.5
"""A call is sent at most this long after its admission. If its worker is killed, the limiter
assumes that the call arrived within a second of it (its guard)."""
TOO_LATE = "admission expired before sending"


def send(services: Services, stage: CallStage, admission: Admission) -> str:
    """Send the paid call and record its result."""
    lease, node, call = admission.lease, admission.node, admission.call
    try:
        sendable = call.sendable(services, admission.max_tokens)
        sent_at = time.monotonic()
        with reach.of(services.account).watching():
            reply = services.provider.chat(sendable.body, inline=sendable.inline)
        reply = with_usage(reply, call.prompt_tokens, admission.max_tokens)
    except SlowDown as error:
        end(services.limiter.slow_down, lease.token, error)
        close(services, admission, CallStatus.FAILED, error, 429)
        postpone(services, admission, asked_for(error.retry_after), error, costs_attempt=False)
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
    except (FileGone, BytesGone) as error:  # with BytesGone only a part of the request was sent
        end(services.limiter.settle, lease.token, 0)
        http_status = 400 if isinstance(error, FileGone) else None
        close(services, admission, CallStatus.FAILED, error, http_status)
        reupload(services, stage, admission, error, sendable.body)
    except RequestRefused as error:
        usage = error.reply.usage if error.reply else None
        end(services.limiter.settle, lease.token, total(usage))
        error = as_learned(services, admission, error)
        close(services, admission, CallStatus.REFUSED, error, error.status, usage)
        refused(services, stage, admission, error)
    except ReplyUnusable as error:
        usage = error.reply.usage if error.reply else None
        end(services.limiter.settle, lease.token, total(usage))
        unusable(services, stage, admission, error)
    except ServiceAway as error:  # the blob store, before all was sent
        end(services.limiter.settle, lease.token, 0)
        close(services, admission, CallStatus.FAILED, error)
        postpone(services, admission, 5.0, error, costs_attempt=False)
    else:
        services.leases.took(time.monotonic() - sent_at)
        settle(services, admission, reply)  # durable before anything else
        completion = reply.usage.completion_tokens
        services.written.add((node.model, node.kind), completion)
        waited = sent_at - admission.admitted_at
        end(services.limiter.settle, lease.token, total(reply.usage), completion, waited)
        return answered(services, stage, admission, reply)
    return f"job {node.job_id}: {span(node)}: not answered"


def in_time(services: Services, admission: Admission) -> Admission | None:
    """The admission to send with, renewed if it is old. None: the node is asked later."""
    if time.monotonic() - admission.admitted_at <= LATE_SECONDS:
        return admission
    end(services.limiter.cancel, admission.lease.token)
    admitted_at = time.monotonic()
    try:
        answer = acquire(services, admission.lease, admission.tokens)
    except ServiceAway:
        answer = Wait(1.0, Hold.COOLING)
    if isinstance(answer, Admitted):
        return replace(admission, admitted_at=admitted_at)
    close(services, admission, CallStatus.FAILED, TOO_LATE)
    postpone(services, admission, min(answer.seconds, 1.0), TOO_LATE, costs_attempt=False)
    return None


def end(how: Callable[..., None], *args: object) -> None:
    """End a call's lease at the limiter. If the limiter is unavailable the lease expires by itself;
    the call's result is recorded all the same."""
    try:
        how(*args)
    except ServiceAway as error:
        log.warning("limiter.away", error=str(error))


def answered(services: Services, stage: CallStage, admission: Admission, reply: Reply) -> str:
    """Review and record a paid reply that is on the ledger."""
    node = admission.node
    if reply.finish_reason == ledger.CUT and admission.max_tokens < admission.call.max_tokens:
        reason = "the budget left no room for a longer reply"
        postpone(services, admission, 0.0, reason, costs_attempt=False)
        services.send(stage.stage.name, job=node.job_id, node=node.id)
        return f"job {node.job_id}: {span(node)}: {reason}, asked again"
    result = admission.call.review(reply)
    if admission.call.is_probe and not isinstance(result, NotSeen):
        with services.database.write() as connection:
            endpoint_limits.proven(connection, node.endpoint, node.model)
    if reply.is_empty and (silence := silence_of(services, admission.call)):
        why = why_empty(reply, admission.call.max_tokens)
        if (instead := admission.call.request.without_reply(why)) is None:
            stop_silent(services, admission, silence, why)
            return f"job {node.job_id}: {span(node)}: the job ends without an answer"
        result = instead
    if isinstance(result, AskAgain):
        again = result.attempt
        if isinstance(again, LeafAttempt) and not again.kept and stop_if_blind(services, node):
            return f"job {node.job_id}: {span(node)}: the job ends without an answer"
        postpone(services, admission, 0.0, f"unusable reply: {result.reason}", False)
        services.send(stage.stage.name, job=node.job_id, node=node.id)
        return f"job {node.job_id}: {span(node)}: {result.reason}, asked again"
    if isinstance(result, NotSeen):
        not_seen(services, stage, admission, result)
        return f"job {node.job_id}: {span(node)}: {result.reason}"
    moved = Moved()
    with services.database.write() as connection:
        kept = record(services.settings, connection, node, admission.lease.token, result, moved)
    announce(services, node.job_id, moved)
    if stage.kind == NodeKind.LEAF:
        room_came(services)
        if result.images is not None and not result.images.seen:
            stop_if_blind(services, node)
    return f"job {node.job_id}: {span(node)}: {'answered' if kept else 'answered too late'}"


def settle(services: Services, admission: Admission, reply: Reply) -> None:
    """Write the paid reply to the ledger; on failure, write it to disk and retry.

    This waits while the database is unavailable.
    """
    price = services.settings.price_of(admission.node.model)
    usage = reply.usage
    money = spent_on(price, usage)
    spooled: Path | None = None
    attempt = 0
    while True:
        try:
            with services.database.write() as connection:
                _settle(connection, services, admission, reply, money)
            break
        except Exception as error:
            spooled = spooled or spool(services, admission, money, reply)
            if spooled is None:  # neither on disk nor in the database: hold on to it
                time.sleep(1.0)
            elif not isinstance(error, ServiceAway) or services.stopping.wait(
                backoff_seconds(attempt, services.draw(), 0.2, 5.0)
            ):
                raise  # it is on disk: the reconciler settles it
            attempt += 1
    if spooled is not None:
        services.spool.drop(spooled)
    call_ended(services.traces, admission, CallStatus.SETTLED, usage, 200)


def _settle(
    connection: Connection, services: Services, admission: Admission, reply: Reply, money: float
) -> None:
    call, token = admission.call, admission.lease.token
    if ledger.settle(connection, admission.call_id, reply, money, token):
        return
    new = new_call(services, call, admission.tokens)
    if admission.max_tokens < call.max_tokens:
        new = replace(new, max_tokens=admission.max_tokens)
    if ledger.restore(connection, admission.call_id, new, token, reply, money):
        log.warning("call.restored", call=admission.call_id, job=admission.node.job_id)


def spool(services: Services, admission: Admission, money: float, reply: Reply) -> Path | None:
    """Write a reply to disk; None if the disk does not take it, which is tried again."""
    try:
        return services.spool.keep(Spooled(admission.call_id, money, reply, admission.call.key))
    except OSError as error:
        log.warning("spool.full", call=admission.call_id, error=str(error))
        return None
