"""What follows when a call brought no text: later again, in halves, without the image, or never."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from clients.provider.body import file_id_of
from core.catalog.models import cost
from core.errors import (
    BytesGone,
    FileGone,
    OverstoryError,
    ProviderDown,
    RefusalCode,
    ReplyUnusable,
    RequestRefused,
)
from core.outcomes import backoff_seconds
from core.reply import Usage
from core.requests.request import Body
from core.states import CallStatus, NodeKind
from models import ledger, state
from models.claims import NodeWork
from models.engine import Connection
from models.reads import pipeline
from models.state import Moved
from tasks.calls.node_request import Admission, CallStage
from tasks.calls.trace import call_ended
from tasks.image_slices import announce
from tasks.runtime.services import Services

log = structlog.get_logger()

REFUSALS_WITHOUT_ANSWER = 12
"""So many refusals and not one answer: it is the request that is wrong, not the images."""


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
        price = services.settings.price_of(admission.node.model)
        money = cost(price, usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens)
    with services.database.write() as connection:
        ledger.close(connection, admission.call_id, status, str(error), http_status, usage, money)
    call_ended(services.traces, admission, status, usage, http_status, error)


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
    attempt, so an outage fails nobody; one that does not end, ends the job."""
    outage = services.limiter.state().outage_seconds
    silent = _silent_for(services, admission, outage)
    if silent > services.settings.outage_max_seconds:
        stop_job(services, admission, f"the provider has not answered for {silent / 3600:.1f} h")
        return
    attempts = admission.node.attempts + 1
    if outage is None and attempts >= services.settings.call_attempts_max:
        fail_or_halve(services, stage, admission, RefusalCode.POISON, str(error))
        return
    after = backoff_seconds(min(attempts, 6), services.draw())
    postpone(services, admission, after, error, costs_attempt=outage is None)


def _silent_for(services: Services, admission: Admission, outage: float | None) -> float:
    """How long the provider has been silent to this node. Its first try alone says nothing: since
    then others were answered, the job was paused, or the service was off."""
    if outage is None:
        return 0.0
    with services.database.read() as connection:
        return min(outage, pipeline.seconds_since(connection, admission.node.started_at))


def refused(
    services: Services, stage: CallStage, admission: Admission, error: RequestRefused
) -> None:
    """A request refused as it stands: find the image that is to blame, or see that none is."""
    with services.database.read() as connection:
        settled, refusals = pipeline.settled_and_refused(connection, admission.node.job_id)
    concerns_all = not error.of_content or (
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
        halve_or_fail(
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


def halve_or_fail(
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


def reupload(
    services: Services, stage: CallStage, admission: Admission, error: FileGone | BytesGone
) -> None:
    """What the node shows is no longer there: a file id the provider does not know, which is found
    out and uploaded again; or bytes that were to go inside, whose images go back to upload."""
    if admission.node.attempts >= services.settings.attempts_max:
        reason = f"its images keep vanishing: {error}"
        fail_or_halve(services, stage, admission, RefusalCode.UPLOAD_FAILED, reason)
        return
    gone: set[str] = set()
    if isinstance(error, FileGone):
        gone = _missing_files(services, admission, error.file_id)
    moved = Moved()
    with services.database.write() as connection:
        stage.upload_again(services, connection, admission.node, admission.lease.token, gone, moved)
    log.info("files.healed", job=admission.node.job_id, node=admission.node.id, files=len(gone))
    announce(services, admission.node.job_id, moved)


def _missing_files(services: Services, admission: Admission, named: str | None) -> set[str]:
    """File ids the node uses that the provider does not list, and the one it ``named``: it names
    one of all that are gone. Where neither says anything, all of them."""
    used = set(_file_ids(admission.question.sendable(services, admission.variant).body))
    gone = {named} if named else set()
    try:
        listed = {file.id for file in services.provider.files()}
    except OverstoryError:
        return gone or used
    return gone | (used - listed) or used


def _file_ids(body: Body) -> Sequence[str]:
    content = body["messages"][-1]["content"]
    urls = [part["image_url"]["url"] for part in content if part["type"] == "image_url"]
    return [file_id for url in urls if (file_id := file_id_of(url)) is not None]


def total(usage: Usage | None) -> int:
    return 0 if usage is None else usage.prompt_tokens + usage.completion_tokens
